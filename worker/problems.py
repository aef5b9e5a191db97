"""Errors as the failures that rows keep; the service shows them as they are."""

import traceback
from pathlib import Path

from noisegate.api.problems import Failure
from noisegate.errors import NoisegateError


def failure_of(error: Exception, worker: str) -> Failure:
    """What went wrong, for the person who asked: our own errors whole, any other by its traceback's last lines.

    Args:
        worker: the process that met it; the whole traceback stands in its log.
    """
    if isinstance(error, NoisegateError):
        return Failure.of(error, worker=worker)
    # An OSError would name a path on this machine.
    if isinstance(error, OSError) and error.strerror:
        said = f"{type(error).__name__}: {error.strerror}"
    else:
        first_line = next(iter(str(error).splitlines()), "no message")
        said = f"{type(error).__name__}: {first_line}"
    detail = said[:1000] + _place_of(error)
    return Failure(code="unexpected", title=NoisegateError.title, detail=detail, worker=worker)


def _place_of(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
