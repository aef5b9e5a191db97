"""Errors as the problem objects that rows keep; the service shows them as they are."""

import traceback
from pathlib import Path
from typing import Any

from noisegate.errors import NoisegateError


def problem_of(error: Exception, worker: str) -> dict[str, Any]:
    """What went wrong, for the person who asked: our own errors whole, any other by its traceback's last lines.

    Args:
        worker: the process that met it; the whole traceback stands in its log.
    """
    if isinstance(error, NoisegateError):
        fields = [vars(entry) for entry in error.errors]
        known = {"code": error.code, "title": error.title, "detail": error.detail, "remedy": error.remedy}
        return known | {"errors": fields, "worker": worker}
    # An OSError would name a path on this machine.
    if isinstance(error, OSError) and error.strerror:
        said = f"{type(error).__name__}: {error.strerror}"
    else:
        first_line = next(iter(str(error).splitlines()), "no message")
        said = f"{type(error).__name__}: {first_line}"
    return {
        "code": "unexpected",
        "title": "Something went wrong",
        "detail": said[:1000] + _place_of(error),
        "remedy": None,
        "errors": [],
        "worker": worker,
    }


def _place_of(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
