"""Every error a person can cause or meet, each with the field it concerns and what to do about it.

The tree (`service/errors.py` maps each to an HTTP status, once):

    NoisegateError
    ├── InvalidInput            what was sent cannot be used
    │   ├── InvalidSpec         an experiment spec, field by field
    │   ├── InvalidImage        one image
    │   └── InvalidArchive      an archive of images
    ├── TooLarge                over a limit of this server
    ├── UnsupportedMedia        a content type that is not supported
    ├── NotFound                no such thing
    ├── NotYours                a shared resource: changing it needs the admin scope
    ├── Conflict                the thing is in another state than this needs
    │   └── NotReady            ... but soon may be
    ├── NewerVersion            a row that this version cannot read
    ├── QuotaExceeded           more than this server takes on at once
    ├── StorageFull             no room left where results are kept
    ├── StorageUnavailable      the store that machines share does not answer, for now
    └── SourceUnavailable       a download that could not be had
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldError:
    """One field that is wrong: its path (`noise.quantity`), what is wrong, and the remedy if there is one."""

    field: str
    message: str
    remedy: str | None = None


class NoisegateError(Exception):
    """Something a person should be told. `code` never changes; `detail` is for reading."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.remedy = remedy

    @property
    def errors(self) -> Sequence[FieldError]:
        """The fields concerned; empty when no single field is."""
        return [FieldError(self.field, self.detail, self.remedy)] if self.field else []


class InvalidInput(NoisegateError):
    code = "invalid-input"
    title = "What was sent cannot be used"


class InvalidSpec(InvalidInput):
    """A spec with one or more wrong fields."""

    code = "invalid-spec"
    title = "The experiment spec has errors"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        assert errors, "an invalid spec names at least one field"
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self._errors = list(errors)

    @property
    def errors(self) -> Sequence[FieldError]:
        return self._errors


class InvalidImage(InvalidInput):
    code = "invalid-image"
    title = "The image cannot be read"


class InvalidArchive(InvalidInput):
    code = "invalid-archive"
    title = "The archive cannot be used"


class TooLarge(NoisegateError):
    code = "too-large"
    title = "Over a limit of this server"


class UnsupportedMedia(NoisegateError):
    code = "unsupported-media-type"
    title = "This content type is not read here"


class NotFound(NoisegateError):
    code = "not-found"
    title = "No such thing"


class NotYours(NoisegateError):
    code = "not-yours"
    title = "Shared resource: needs the admin scope"


class Conflict(NoisegateError):
    code = "conflict"
    title = "Not possible in the present state"


class NotReady(Conflict):
    code = "not-ready"
    title = "Not ready yet"

    def __init__(self, detail: str, *, retry_after_seconds: int, field: str | None = None) -> None:
        super().__init__(detail, field=field, remedy=f"Ask again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class NewerVersion(NoisegateError):
    code = "newer-version"
    title = "Written by a newer version"


class QuotaExceeded(NoisegateError):
    code = "quota-exceeded"
    title = "More than this server takes on at once"

    def __init__(self, detail: str, *, retry_after_seconds: int, remedy: str | None = None) -> None:
        super().__init__(detail, remedy=remedy)
        self.retry_after_seconds = retry_after_seconds


class StorageFull(NoisegateError):
    code = "storage-full"
    title = "No room left where results are kept"


class StorageUnavailable(NoisegateError):
    code = "storage-unavailable"
    title = "The store of results is away"

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail, remedy=f"Ask again in {retry_after_seconds} s; the operator of this server can help.")
        self.retry_after_seconds = retry_after_seconds


class SourceUnavailable(NoisegateError):
    code = "source-unavailable"
    title = "The source could not be reached"
