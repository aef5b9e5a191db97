"""The Python client of the HTTP API, `Noisegate` and `AsyncNoisegate`, and the command `noisegate`.

`clients` has the two, `resources` their namespaces, `flows` what they ask, `fronts` how that is carried out. `answers` and `errors`
are what they give back and raise. `cli` is the command.
"""

from noisegate.client.clients import AsyncNoisegate, Noisegate
from noisegate.client.errors import (
    ClientError,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotFound,
    ProblemError,
    ServiceFailed,
    ServiceUnreachable,
    TooManyRequests,
    UnexpectedAnswer,
    UnusableFile,
    UploadInterrupted,
    WaitedTooLong,
)

__all__ = [
    "AsyncNoisegate",
    "ClientError",
    "Conflict",
    "InvalidRequest",
    "Noisegate",
    "NotAllowed",
    "NotFound",
    "ProblemError",
    "ServiceFailed",
    "ServiceUnreachable",
    "TooManyRequests",
    "UnexpectedAnswer",
    "UnusableFile",
    "UploadInterrupted",
    "WaitedTooLong",
]
