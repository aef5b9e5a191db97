"""What can go wrong on this side of the wire; `str()` of each is meant for a person.

ClientError
├── ProblemError          the service answered with a problem
│   ├── InvalidRequest    400, 413, 415, 422: `errors` names the fields that are wrong, with remedies
│   ├── NotAllowed        401, 403: without a key, or with one that does not open this
│   ├── NotFound          404
│   ├── Conflict          409: as things stand; `detail` says what is in the way
│   ├── TooManyRequests   429: `retry_after_seconds` says when to come again
│   └── ServiceFailed     5xx
├── ServiceUnreachable    no answer, or a connection that broke
│   └── UploadInterrupted while something was sent
├── WaitedTooLong         what was waited for has not ended in time; it goes on
├── UnexpectedAnswer      an answer, but not from a Noisegate service
├── UnusableFile          a file named on the command line that cannot be read as what it should be
└── LocalError            what `noisegate up` starts
    ├── CannotStart       a process that cannot be had, or is not ready in time
    └── ChildEnded        a process that ended when it should not have
Interrupted               someone asked this process to end; no error
"""

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from noisegate.errors import FieldError


class ClientError(Exception):
    """Something a person should be told, in one message."""


class ProblemError(ClientError):
    """A problem document (RFC 9457): in place of an answer, or kept with what failed later, then without a status."""

    def __init__(
        self,
        status: int | None,
        code: str,
        title: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        remedy: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = list(errors)
        self.remedy = remedy
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, retry_after_seconds: float | None = None) -> "ProblemError":
        """The error that a problem document describes, whichever of its members are there, by its status."""
        status = document.get("status")
        errors = [
            FieldError(entry["field"], entry["message"], entry.get("remedy")) for entry in document.get("errors") or []
        ]
        return _class_of(status)(
            status,
            document.get("code", f"http-{status}"),
            document.get("title", f"HTTP status {status}"),
            document.get("detail", ""),
            errors,
            document.get("remedy"),
            retry_after_seconds,
        )

    def __str__(self) -> str:
        # The detail of a wrong field repeats its message, so it is read only where no field is named.
        whole = [text for text in (self.detail, self.remedy) if text]
        details = [_in_words(error) for error in self.errors] or whole
        place = self.code if self.status is None else f"{self.status} {self.code}"
        return "\n  ".join([f"{self.title} ({place})", *details])


class InvalidRequest(ProblemError):
    """What was sent is not what the service takes: `errors` names the fields, with remedies."""


class NotAllowed(ProblemError):
    """Without a key, or with one that does not open this."""


class NotFound(ProblemError):
    """There is no such thing."""


class Conflict(ProblemError):
    """It cannot be done as things stand."""


class TooManyRequests(ProblemError):
    """The service has too much to do: `retry_after_seconds` says when to come again."""


class ServiceFailed(ProblemError):
    """The service cannot answer, whatever it is asked."""


class ServiceUnreachable(ClientError):
    """Nothing answers at the address, or the connection broke."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"No answer from {url}: {reason}. Is `noisegate up` running?")
        self.url = url
        self.reason = reason


class UploadInterrupted(ServiceUnreachable):
    """The connection broke while something was sent, and again each time that it was sent anew."""

    def __init__(self, url: str, reason: object, sent: int, total: int) -> None:
        super().__init__(url, reason)
        self.sent = sent
        self.total = total
        self.args = (
            f"The upload to {url} was interrupted after {sent / 1e6:,.1f} of {total / 1e6:,.1f} MB: {reason}. "
            "Nothing of it is kept. Send it again: the same files become the same dataset, and nothing is stored twice.",
        )


class WaitedTooLong(ClientError):
    """What was waited for has not ended in time. It goes on; `last` is how it stood."""

    def __init__(self, message: str, last: Any) -> None:
        super().__init__(message)
        self.last = last


class UnexpectedAnswer(ClientError):
    """Something answers at the address, but it does not speak this API."""

    def __init__(self, url: str, what: str) -> None:
        super().__init__(f"{url} answered with {what}. Is it a Noisegate service?")


class UnusableFile(ClientError):
    """A file that cannot be read, or holds something else than it should."""


class LocalError(ClientError):
    """The processes of `noisegate up`."""


class CannotStart(LocalError):
    """A process that cannot be had, or is not ready in time."""


class ChildEnded(LocalError):
    """A process that ended when it should not have."""


class Interrupted(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived: end in order."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell would report for a process ended by this signal."""
        return 128 + self.number


_CLASSES = {
    **dict.fromkeys((400, 413, 415, 422), InvalidRequest),
    **dict.fromkeys((401, 403), NotAllowed),
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
}


def _class_of(status: int | None) -> type[ProblemError]:
    if status is None:
        return ProblemError
    return _CLASSES.get(status, ServiceFailed if status >= 500 else ProblemError)


def _in_words(error: FieldError) -> str:
    message = error.message if error.message.endswith((".", "!", "?")) else f"{error.message}."
    return f"{error.field}: {message} {error.remedy or ''}".rstrip()
