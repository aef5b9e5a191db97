"""What comes out of an archive or a source, and the limits on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from noisegate.errors import InvalidArchive, TooLarge

# Small honest archives may be packed tightly; the ratio counts once this much came out.
RATIO_COUNTS_FROM_BYTES = 64 * 2**20

# What a data set may call its parts; `validation` is given to one of the other two (noisegate.data.layouts).
NamedSplit = Literal["train", "validation", "test"]

# What an upload is called that is a single file: what it was called says nothing of what is in it.
UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class Label:
    """What a format says of an image by itself; `split` is None where it says nothing of that."""

    class_name: str
    split: NamedSplit | None = None


class Member(NamedTuple):
    """One image: its path (`train/cat/1.png`), and its file or its pixels (height, width, 3).

    The path says what it is, unless its format does: then `label` is given, and the path only names it.
    """

    name: str
    content: bytes | npt.NDArray[np.uint8]
    label: Label | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text file that may say what the images beside it are: CSV, JSON, lines of text."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Collected:
    """A file that holds many images, such as Parquet or an array of NumPy's: unpacked to `path` in a scratch folder.

    One that is the whole upload has no name of its own: its `name` is UPLOAD.
    """

    name: str
    path: Path
    is_upload: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that was not read as an image, and why: words that follow on its name, such as `is not an image`.

    `remedy` is what its sender can do, where it was meant to hold images; `label` is what its format says of it by itself.
    """

    name: str
    why: str
    remedy: str = ""
    label: Label | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence for the report: how something was read that could be read in another way."""

    sentence: str


@dataclass(frozen=True, slots=True)
class EmptyFolder:
    """A folder in which no file lies but what systems put in by themselves, or hidden ones; it may have been meant for a class."""

    name: str


# What an upload comes down to; files that hold many images are taken apart on the way.
Arriving = Member | Attachment | LeftOut | EmptyFolder | Told
Found = Arriving | Collected


@dataclass(frozen=True)
class ArchiveLimits:
    """The most that one archive may hold. Each is counted while the archive is read, whatever its headers claim."""

    max_files: int = 200_000
    max_member_bytes: int = 10 * 2**20
    max_total_bytes: int = 8 * 2**30
    max_ratio: float = 200.0
    max_text_bytes: int = 64 * 2**20
    max_texts_bytes: int = 128 * 2**20


def refuse(name: str, what: str, remedy: str) -> InvalidArchive:
    """The error for one member that makes the whole archive unusable."""
    return InvalidArchive(f"{name!r} {what}", field="archive", remedy=remedy)


def damaged(what: str) -> InvalidArchive:
    """The error for an archive whose own structure is broken."""
    remedy = "Pack it again, and check that the whole of it was sent."
    return InvalidArchive(f"the archive is damaged or cut short: {what}", field="archive", remedy=remedy)


def over_limit(detail: str, remedy: str) -> TooLarge:
    """The error for an archive that holds more than one of its limits."""
    return TooLarge(detail, field="archive", remedy=remedy)


class Meter:
    """Counts what comes out of one archive of `archive_bytes` and stops it at the limits.

    All methods raise TooLarge, and `enter` InvalidArchive for a name that it has seen before.
    """

    def __init__(self, limits: ArchiveLimits, archive_bytes: int) -> None:
        self.limits = limits
        self._archive_bytes = archive_bytes
        self._entries = 0
        self._unpacked_bytes = 0
        self._names: set[str] = set()

    def count_entry(self) -> None:
        """One more entry of any kind."""
        self._entries += 1
        if self._entries > self.limits.max_files:
            raise over_limit(f"the archive holds more than {self.limits.max_files:,} files", "Split the data set.")

    def enter(self, name: str) -> None:
        """A file called `name` begins."""
        if name in self._names:
            raise refuse(name, "is in the archive twice", "Give every file a path of its own.")
        self._names.add(name)

    def unpack(self, count: int) -> None:
        """`count` more bytes were unpacked."""
        self._unpacked_bytes += count
        if self._unpacked_bytes > self.limits.max_total_bytes:
            detail = f"the archive unpacks to more than {self.limits.max_total_bytes:,} bytes"
            raise over_limit(detail, "Split the data set, or scale its images down.")
        most = max(RATIO_COUNTS_FROM_BYTES, self.limits.max_ratio * self._archive_bytes)
        if self._unpacked_bytes > most:
            detail = f"the archive unpacks to more than {self.limits.max_ratio:g} times its size, as no photographs do"
            raise over_limit(detail, "Pack the images as PNG, JPEG or WEBP, which are compressed.")

    def check_member(self, name: str, size: int) -> None:
        """A file of `size` bytes, or at least that many."""
        if size > self.limits.max_member_bytes:
            detail = f"{name!r} has more than {self.limits.max_member_bytes:,} bytes"
            raise over_limit(detail, "Scale that image down.")
