"""Which image a table means by what it writes: a path, a file name, a number without suffix, an address."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from posixpath import normpath
from urllib.parse import parse_qs, unquote, urlsplit

from noisegate.data.layouts.parts import part_of_path
from noisegate.data.layouts.suffixes import without_suffix
from noisegate.data.layouts.tree import shared_folders
from noisegate.data.members import NamedSplit

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ELSEWHERE = re.compile(r"/|[A-Za-z]:/|~/")


class References:
    """The images of an upload, by all that a table may call them.

    What a table writes is looked for, first that fits: as a path from the table's own folder; as a path from the archive's
    root; as the end of a path; each with an image's suffix added if it has none.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._by_path = {path: index for index, path in enumerate(paths)}
        self._by_file: dict[str, list[int]] = defaultdict(list)
        self._by_stem: dict[str, list[int]] = defaultdict(list)
        folders = {path.rpartition("/")[0] for path in paths}
        part_of = {folder: part_of_path(f"{folder}/") for folder in folders}
        self._parts = []
        self._shared = len(shared_folders([tuple(folder.split("/")) if folder else () for folder in folders]))
        for index, path in enumerate(paths):
            folder, _, file = path.rpartition("/")
            self._parts.append(part_of[folder])
            self._by_file[file].append(index)
            self._by_stem[without_suffix(file)].append(index)

    def part(self, index: int) -> NamedSplit | None:
        """The part that an image's folders say."""
        return self._parts[index]

    def own_path(self, index: int) -> str:
        """An image's path without the folders that all images share: the same wherever the data set was packed."""
        return "/".join(self.paths[index].split("/")[self._shared :])

    def find(self, written: str, beside: str = "", part: NamedSplit | None = None) -> Sequence[int]:
        """The images that are meant, in a table that lies in the folder `beside`; more than one if it cannot be told.

        `part` is what the table is about: images in the folders of another part are not meant.
        """
        path = spelled(written)
        if not path:
            return ()
        if _ELSEWHERE.match(path) or _ADDRESS.match(path):
            found: Sequence[int] = self._at_end_of(path)
        else:
            near = normpath(f"{beside}/{path}" if beside else path)
            path = re.sub(r"^(\.\.?/)+", "", path)
            found = self._exactly(near) or self._exactly(path) or self._ending(path)
        if part is not None:
            found = [index for index in found if self._parts[index] in (None, part)]
        return found

    def called(self, file: str) -> Sequence[int]:
        """The images with this file name, in whichever folder."""
        return self._by_file.get(unicodedata.normalize("NFC", file), ())

    def find_beside(self, path: str) -> Sequence[int]:
        """The images at a path from the root, with its suffix or without."""
        return self._exactly(unicodedata.normalize("NFC", path))

    def nearly(self, written: str) -> str | None:
        """An image whose file is called so but for capitals, the suffix or %20, which are taken as they are written."""
        index = self._nearly.get(_roughly(written))
        return None if index is None else self.paths[index]

    def is_exact(self, written: str) -> bool:
        """Whether it names a file with its suffix that is here."""
        return spelled(written).rpartition("/")[2] in self._by_file

    def _exactly(self, path: str) -> Sequence[int]:
        return [self._by_path[path]] if path in self._by_path else self._without_suffix.get(path, ())

    def _by_file_of(self, path: str) -> Sequence[int]:
        file = path.rpartition("/")[2]
        return self._by_file.get(file) or self._by_stem.get(file) or ()

    def _ending(self, path: str) -> Sequence[int]:
        """Images whose paths end as a relative path does: all of its folders are theirs."""
        if "/" not in path:
            return self._by_file_of(path)
        is_file = path.rpartition("/")[2] in self._by_file
        return (self._ends if is_file else self._ends_without_suffix).get(path, ())

    def _at_end_of(self, path: str) -> Sequence[int]:
        """Images at which an absolute path of another machine ends, but for folders that all images share."""
        parts = path.split("/")
        own = self._own if parts[-1] in self._by_file else self._own_without_suffix
        return [index for start in range(len(parts)) for index in own.get("/".join(parts[start:]), ())]

    # Dictionaries, each made when it is first asked: a data set may have a file of the same name in each of its folders.

    @cached_property
    def _without_suffix(self) -> Mapping[str, Sequence[int]]:
        return _numbered([without_suffix(path)] for path in self.paths)

    @cached_property
    def _nearly(self) -> Mapping[str, int]:
        return {_roughly(path): index for index, path in enumerate(self.paths)}

    @cached_property
    def _ends(self) -> Mapping[str, Sequence[int]]:
        return _numbered(map(_endings, self.paths))

    @cached_property
    def _ends_without_suffix(self) -> Mapping[str, Sequence[int]]:
        return _numbered(_endings(without_suffix(path)) for path in self.paths)

    @cached_property
    def _own(self) -> Mapping[str, Sequence[int]]:
        return _numbered([self.own_path(index)] for index in range(len(self.paths)))

    @cached_property
    def _own_without_suffix(self) -> Mapping[str, Sequence[int]]:
        return _numbered([without_suffix(self.own_path(index))] for index in range(len(self.paths)))


def _roughly(path: str) -> str:
    """A file's name without what people and tools change in one: capitals, the suffix, escaped characters, spaces around."""
    return without_suffix(PurePosixPath(unquote(spelled(path))).name).strip().casefold()


def _endings(path: str) -> Sequence[str]:
    """The path, and what is left of it without its first folders."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _numbered(names: Iterable[Iterable[str]]) -> Mapping[str, Sequence[int]]:
    """Which of the images each name stands for."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, of_image in enumerate(names):
        for name in of_image:
            found[name].append(index)
    return found


def spelled(written: str) -> str:
    """A path as archives spell it: slashes, composed accents."""
    return unicodedata.normalize("NFC", written.strip().replace("\\", "/"))


def base_name(written: str) -> str:
    """The file at the end of a path or an address, as Label Studio writes them.

    `/data/upload/1/ab12cd34-cat.jpg`, `s3://bucket/a/cat.jpg`, `https://host/cat%20one.jpg?token=…`, and
    `/data/local-files/?d=folder/cat.jpg`.
    """
    path = spelled(written)
    try:
        address = urlsplit(path)
    except ValueError:  # brackets, which addresses have for another purpose
        return PurePosixPath(path).name
    if address.path.rstrip("/").endswith("/local-files") and "d" in (query := parse_qs(address.query)):
        return PurePosixPath(spelled(query["d"][0])).name
    is_address = address.scheme in ("http", "https")
    return PurePosixPath(unquote(address.path) if is_address else path).name
