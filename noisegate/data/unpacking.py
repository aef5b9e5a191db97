"""What becomes of each file in an archive: an image, a text, a file that holds many images, or left out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from noisegate.data import kinds
from noisegate.data.members import (
    Attachment,
    Collected,
    EmptyFolder,
    Found,
    LeftOut,
    Member,
    Meter,
    Told,
    over_limit,
    refuse,
)
from noisegate.data.names import folder_of_hidden, kept_folder
from noisegate.data.streams import Again, GzipStream, Readable
from noisegate.data.zip_directory import is_npz
from noisegate.errors import InvalidArchive
from noisegate.file_kinds import is_image

_CHUNK_BYTES = 256 * 2**10
_FETCH = "Run git lfs pull where it was cloned, and pack the files again."
_WHOLE = "Send the whole of it, or leave it out if no image and no label is in it."


@dataclass(frozen=True, slots=True)
class Inner:
    """A tar within the archive, of which `content` is what is left to read: to be read before the archive is gone on with."""

    name: str
    content: Readable


class Content(Protocol):
    """One file of an archive: `read(count)` returns exactly `count` bytes, fewer at its end only. Metered."""

    def read(self, count: int, /) -> bytes: ...


class Unpacker:
    """Reads the files of one archive, each once and from its beginning, within the limits of `meter`.

    Files that hold many images are unpacked to `folder`, under numbers.
    """

    def __init__(self, meter: Meter, folder: Path) -> None:
        self.meter = meter
        self._folder = folder
        self._collected = 0
        self._text_bytes = 0
        self._hidden = 0
        self._first_hidden = ""
        self._folders: set[str] = set()
        self._filled: set[str] = set()

    def take(self, name: str, size: int, content: Content, *, is_inner: bool = False) -> Found | Inner:
        """One file. `size` is its length or, in a container that may lie, the most that `content` will answer.

        Args:
            is_inner: it comes from a tar within the archive: tars within that one are left out.

        Raises:
            InvalidArchive: it is damaged.
            TooLarge: over one of the limits.
        """
        self._fill(name)
        if kinds.has_image_suffix(name):
            return self._image(name, size, b"", content)
        head = content.read(kinds.HEAD_BYTES)
        if is_image(head) and not kinds.is_camera_raw(name):
            return self._image(name, size, head, content)
        if what := kinds.missing(name, head):
            raise refuse(name, what, _FETCH if kinds.is_lfs_pointer(head) else _WHOLE)
        if kinds.holds_images(name, head):
            return self.collect(name, Again(head, content))
        if not is_inner and kinds.is_tar(head):
            return Inner(name, Again(head, content))
        if kinds.is_packed_idx(head):
            return self._gunzip(name, Again(head, content))
        if kinds.may_be_npz(head):
            return self._npz(name, Again(head, content))
        if kinds.is_text(name):
            return self._text(name, head, content)
        return LeftOut(name, _why(name, head))

    def pass_over(self, name: str) -> None:
        """One that is hidden, or that a system put in: no class, but if it is called as images are, it is told."""
        # A file that is called `.png`, as programs write one whose name is empty, has no suffix by itself.
        if kinds.has_image_suffix(f"_{name.rpartition('/')[2]}") and not kinds.is_trace(name):
            self._first_hidden = self._first_hidden or name
            self._hidden += 1
        if folder := folder_of_hidden(name):
            self._folders.add(folder)

    def enter_folder(self, name: str) -> None:
        """A folder, which may be empty.

        Raises:
            InvalidArchive: as `kept_path`.
        """
        if kept := kept_folder(name):
            self._folders.add(kept)

    def told(self) -> Iterator[EmptyFolder | Told]:
        """At the end: folders without files, and whether images were passed over for being hidden."""
        yield from map(EmptyFolder, sorted(self._folders - self._filled))
        if self._hidden:
            were = "image was" if self._hidden == 1 else "images were"
            yield Told(f"{self._hidden:,} hidden {were} passed over, such as {self._first_hidden!r}")

    def collect(self, name: str, stream: Readable) -> Collected:
        """All that is left of a stream that holds many images, in a file."""
        self._collected += 1
        path = self._folder / f"unpacked-{self._collected}"
        with path.open("wb") as file:
            while piece := stream.read(_CHUNK_BYTES):
                file.write(piece)
        return Collected(name, path)

    def metered(self, stream: Readable) -> Readable:
        """The same stream, all that it answers counted."""
        return _Metered(stream, self.meter)

    def _fill(self, name: str) -> None:
        """Its folders hold a file."""
        folder = name.rpartition("/")[0]
        while folder and folder not in self._filled:
            self._filled.add(folder)
            folder = folder.rpartition("/")[0]

    def _image(self, name: str, size: int, head: bytes, content: Content) -> Member:
        self.meter.check_member(name, size)
        whole = content.read(self.meter.limits.max_member_bytes + 1 - len(head))
        return Member(name, head + whole if head else whole)

    def _text(self, name: str, head: bytes, content: Content) -> Attachment:
        limits = self.meter.limits
        text = head + content.read(limits.max_text_bytes + 1 - len(head))
        if len(text) > limits.max_text_bytes:
            raise over_limit(f"{name!r} is a text of more than {limits.max_text_bytes:,} bytes", "Leave it out.")
        self._text_bytes += len(text)
        if self._text_bytes > limits.max_texts_bytes:
            detail = f"the texts in the archive, up to {name!r}, have more than {limits.max_texts_bytes:,} bytes"
            raise over_limit(detail, "Leave out those that do not label the images.")
        return Attachment(name, text)

    def _gunzip(self, name: str, packed: Readable) -> Collected:
        with _named(name):
            return self.collect(name, self.metered(GzipStream(packed)))

    def _npz(self, name: str, stream: Readable) -> Found:
        found = self.collect(name, stream)
        with _named(name), found.path.open("rb") as file:
            if is_npz(file, self.meter.limits.max_files):
                return found
        found.path.unlink()
        return LeftOut(name, "is a zip archive, which is not read here")


class _Metered:
    def __init__(self, stream: Readable, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def read(self, count: int) -> bytes:
        piece = self._stream.read(count)
        self._meter.unpack(len(piece))
        return piece


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Names the file within the archive that is damaged, not the archive."""
    try:
        yield
    except InvalidArchive as error:
        raise refuse(name, f"cannot be unpacked: {error.detail}", "Send an intact copy.") from error


def _why(name: str, head: bytes) -> str:
    described = kinds.describe(name, head)
    if described is not None:
        return f"is {described}, which is not read here"
    return "is not an image" if head else "is empty"
