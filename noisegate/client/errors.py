"""What can go wrong on this side of the wire; `str()` of each is meant for a person.

ClientError
├── ProblemError          the service answered with a problem
├── ServiceUnreachable    no answer, or a connection that broke
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
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = list(errors)
        self.remedy = remedy

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ProblemError":
        """The error that a problem document describes, whichever of its members are there."""
        status = document.get("status")
        errors = [
            FieldError(entry["field"], entry["message"], entry.get("remedy")) for entry in document.get("errors") or []
        ]
        return cls(
            status,
            document.get("code", f"http-{status}"),
            document.get("title", f"HTTP status {status}"),
            document.get("detail", ""),
            errors,
            document.get("remedy"),
        )

    def __str__(self) -> str:
        # The detail of a wrong field repeats its message, so it is read only where no field is named.
        whole = [text for text in (self.detail, self.remedy) if text]
        details = [_in_words(error) for error in self.errors] or whole
        place = self.code if self.status is None else f"{self.status} {self.code}"
        return "\n  ".join([f"{self.title} ({place})", *details])


class ServiceUnreachable(ClientError):
    """Nothing answers at the address, or the connection broke."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"No answer from {url}: {reason}. Is `noisegate up` running?")
        self.url = url


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


def _in_words(error: FieldError) -> str:
    message = error.message if error.message.endswith((".", "!", "?")) else f"{error.message}."
    return f"{error.field}: {message} {error.remedy or ''}".rstrip()
