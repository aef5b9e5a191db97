"""Errors as the problem objects that rows keep; the service shows them as they are."""

import traceback
from typing import Any

from noisegate.errors import NoisegateError


def problem_of(error: Exception) -> dict[str, Any]:
    """What went wrong, for the person who asked: our own errors whole, any other by its last line."""
    if isinstance(error, NoisegateError):
        fields = [vars(entry) for entry in error.errors]
        known = {"code": error.code, "title": error.title, "detail": error.detail, "remedy": error.remedy}
        return known | {"errors": fields}
    last_line = traceback.format_exception_only(error)[-1].strip()
    return {
        "code": "unexpected",
        "title": "Something went wrong",
        "detail": last_line[:1000],
        "remedy": None,
        "errors": [],
    }
