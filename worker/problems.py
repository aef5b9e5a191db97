"""Errors as the problem objects that rows keep; the service shows them as they are."""

from typing import Any

from noisegate.errors import NoisegateError


def problem_of(error: Exception) -> dict[str, Any]:
    """What went wrong, for the person who asked: our own errors whole, any other by its kind and first line."""
    if isinstance(error, NoisegateError):
        fields = [vars(entry) for entry in error.errors]
        known = {"code": error.code, "title": error.title, "detail": error.detail, "remedy": error.remedy}
        return known | {"errors": fields}
    # An OSError would name a path on this machine.
    if isinstance(error, OSError) and error.strerror:
        said = f"{type(error).__name__}: {error.strerror}"
    else:
        first_line = next(iter(str(error).splitlines()), "no message")
        said = f"{type(error).__name__}: {first_line}"
    return {
        "code": "unexpected",
        "title": "Something went wrong",
        "detail": said[:1000],
        "remedy": None,
        "errors": [],
    }
