"""Folders taken apart: those that all images share, the part, the class, and what lies below it.

Torchvision's `ImageFolder` takes the outermost folder for the class, however deep an image lies. Here that is done only where
no other folder could be meant: where all images lie in folders of the same name below their class, as Tiny-ImageNet's do.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from noisegate.data.layouts.parts import part_called
from noisegate.data.members import NamedSplit

Folders = tuple[str, ...]


class Place(NamedTuple):
    """Where a path stands. `folders` are those below the part, the class first; empty for what lies in the part itself."""

    part: str | None
    folders: Folders
    file: str


@dataclass(frozen=True)
class Tree:
    """The folders of a data set.

    Attributes:
        prefix: folders that all images share, with no meaning of their own.
        parts: folders taken for parts, and which; empty if there are none.
        inner: for each part (None if there are none) the folders that all its images share within it.
    """

    prefix: Folders
    parts: dict[str, NamedSplit]
    inner: dict[str | None, Folders]

    def places(self, paths: Sequence[str]) -> list[Place | None]:
        """Where paths stand; each of their folders is looked at once."""
        of_folder: dict[str, Place | None] = {}
        found = []
        for path in paths:
            folder, _, file = path.rpartition("/")
            if folder not in of_folder:
                of_folder[folder] = self.place(path)
            place = of_folder[folder]
            found.append(place and Place(place.part, place.folders, file))
        return found

    def place(self, path: str) -> Place | None:
        """Where a path stands; None for what lies outside the folders that the images share, or outside the parts."""
        *folders, file = path.split("/")
        rest = _without(tuple(folders), self.prefix)
        if rest is None:
            return None
        part = None
        if self.parts:
            if not rest or rest[0] not in self.parts:
                return None
            part, rest = rest[0], rest[1:]
        inner = self.inner.get(part, ())
        if _without(inner, rest) is not None:  # in the part itself, or between it and its classes
            return Place(part, (), file)
        below = _without(rest, inner)
        return None if below is None else Place(part, below, file)


def read_tree(paths: Sequence[str]) -> Tree:
    """The tree of at least one path, which need not make sense: `noisegate.data.layouts.folders` decides that."""
    # Each once: there are as many as classes, and far more images.
    folders = [tuple(folder.split("/")) if folder else () for folder in {path.rpartition("/")[0] for path in paths}]
    prefix = _prefix(folders)
    rests = [each[len(prefix) :] for each in folders]
    parts = _parts(rests)
    grouped: dict[str | None, list[Folders]] = defaultdict(list)
    for rest in rests:
        if not parts:
            grouped[None].append(rest)
        elif rest and rest[0] in parts:
            grouped[rest[0]].append(rest[1:])
    return Tree(prefix, parts, _inner(grouped) if parts else {None: ()})


def _prefix(folders: Sequence[Folders]) -> Folders:
    """All leading folders that the images share, but for the innermost of them and for parts.

    A folder called as a part is stripped if parts lie below it: of `test/mine/train/cat` and `test/mine/val/cat` the outer `test`.
    """
    shared = shared_folders(folders)
    if _are_parts(folders, len(shared)):
        return shared
    depth = 0
    while depth < len(shared) and all(len(each) > depth + 1 for each in folders):
        if part_called(shared[depth]) and not _are_parts(folders, depth + 1):
            break
        depth += 1
    return shared[:depth]


def _are_parts(folders: Sequence[Folders], depth: int) -> bool:
    return all(len(each) > depth and part_called(each[depth]) for each in folders)


def _parts(rests: Sequence[Folders]) -> dict[str, NamedSplit]:
    """Top folders that are parts: if they hold folders, or if all of them are called as parts."""
    tops = {rest[0] for rest in rests if rest}
    named = {top: part for top in sorted(tops) if (part := part_called(top))}
    holds_folders = {rest[0] for rest in rests if len(rest) > 1}
    return named if holds_folders & named.keys() or named.keys() == tops else {}


def _inner(grouped: dict[str | None, list[Folders]]) -> dict[str | None, Folders]:
    """Folders between a part and its classes: the same in all parts, or called as the part is (`test_set/test_set/cat`)."""
    inner = {}
    for part, folders in grouped.items():
        deep = [each for each in folders if each]
        if deep:
            shared, least = shared_folders(deep), min(map(len, deep))
            # Of `train_images/train_images/1.png` the inner folder is no class either.
            is_doubled = len(shared) == least and shared[-1] == part
            inner[part] = shared[: least if is_doubled else least - 1]
    depth = min(map(len, inner.values()), default=0)
    for level in range(depth):
        named = {folders[level] for folders in inner.values()}
        if len(named) > 1 and any(folders[level] != part for part, folders in inner.items()):
            depth = level
            break
    return {part: folders[:depth] for part, folders in inner.items()}


def shared_folders(folders: Sequence[Folders]) -> Folders:
    """The leading folders of all of them."""
    first, last = min(folders), max(folders)
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return first[:depth]


def _without(folders: Folders, leading: Folders) -> Folders | None:
    return folders[len(leading) :] if folders[: len(leading)] == leading else None
