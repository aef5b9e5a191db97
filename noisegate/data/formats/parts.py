"""What the names of files say: which part of a data set they hold, and which belong together."""

import filecmp
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from noisegate.data.members import Collected, LeftOut, NamedSplit, refuse

# As `datasets` of Hugging Face reads file names, and MNIST's word for its 10,000 test images.
_SPLIT_WORDS: dict[str, NamedSplit] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "t10k": "test",
}
_ROLE_WORDS: dict[str, Literal["images", "labels"]] = {
    **dict.fromkeys(("images", "image", "imgs", "img", "x", "data"), "images"),
    **dict.fromkeys(("labels", "label", "y", "targets", "target"), "labels"),
}
_WORD = re.compile(r"t10k|[^\W\d_]+|\d+")
_IDX_ENDING = re.compile(r"[.-]idx\d-[a-z]+$")
_SUFFIXES = (".npy", ".npz", ".parquet", ".gz", ".xz", ".bz2", ".zst")
# What Hugging Face calls a split of which it has converted a part.
_PARTIAL = "partial-"


@dataclass(frozen=True)
class Part:
    """What a file's name says: `words` are those that are neither split nor role, `folders` those that are no split."""

    split: NamedSplit | None
    role: Literal["images", "labels"] | None
    folders: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """A split, or all images if none is named, and what tells it from the same of another data set in the upload."""

    split: NamedSplit | None
    series: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """An array of images and that of their labels."""

    split: NamedSplit | None
    images: Collected
    labels: Collected


def part_of(name: str) -> Part:
    """What the file's name says, and where that names no split, its innermost folder that does.

    Raises:
        InvalidArchive: two splits in one file's name.
    """
    *folders, last = name.split("/")
    words = _WORD.findall(_IDX_ENDING.sub("", _stem(last)).lower())
    splits = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
    if len(splits) > 1:
        raise refuse(name, f"names two parts of a data set: {' and '.join(sorted(splits))}", "Name one only.")
    # Some unpackers put a file into a folder of its own name.
    outside = [folder for folder in folders if folder != last]
    of_folders = [split for folder in outside if (split := _split_of_folder(folder))]
    left = [word for word in words if word not in _SPLIT_WORDS and word not in _ROLE_WORDS]
    return Part(
        split=next(iter(splits), of_folders[-1] if of_folders else None),
        role=_role(words),
        folders=tuple(folder for folder in outside if not _split_of_folder(folder)),
        words=tuple(left),
    )


def paired(files: Sequence[Collected]) -> tuple[list[Pair], list[LeftOut]]:
    """Each array of images with its labels, told by their names, which all say a role; and copies, which are left out.

    Raises:
        InvalidArchive: images without labels or the other way round, two files for the same, or two data sets.
    """
    found: dict[Held, dict[str, Collected]] = {}
    copies: list[LeftOut] = []
    for file in files:
        part = part_of(file.name)
        assert part.role, "only files whose name says a role are paired"
        first = found.setdefault(Held(part.split, part.folders + part.words), {}).setdefault(part.role, file)
        if first is file:
            continue
        if not filecmp.cmp(first.path, file.path, shallow=False):
            what = f"and {first.name!r} are both {part.role} of the same part, and differ"
            raise refuse(file.name, what, "Send one of the two.")
        copies.append(LeftOut(file.name, f"is a copy of {first.name!r}"))
    for both in found.values():
        _check_whole(both)
    check_one_data_set([(held, both["images"].name) for held, both in found.items()])
    pairs = [Pair(held.split, both["images"], both["labels"]) for held, both in found.items()]
    return sorted(pairs, key=lambda pair: pair.images.name), copies


def check_one_data_set(files: Iterable[tuple[Held, str]]) -> None:
    """Whether files, each with its name, can be the parts of one data set.

    Raises:
        InvalidArchive: two series have the same split, or some names say a split and others none.
    """
    first: dict[NamedSplit | None, tuple[Held, str]] = {}
    for held, name in files:
        before, other = first.setdefault(held.split, (held, name))
        if before.series != held.series:
            what = f"and {other!r} hold the same part of what may be two data sets"
            raise refuse(name, what, "Send one data set, its files in one folder and called alike.")
    if len(first) > 1 and None in first:
        named = next(name for split, (_, name) in first.items() if split is not None)
        what = f"does not say which part of the data set it is, as {named!r} does"
        raise refuse(first[None][1], what, "Put train, validation or test into its name, or leave it out.")


def row_name(split: NamedSplit | None, row: int, suffix: str = ".png") -> str:
    """The path of an image that had none: its part, and its place among the rows of that part, counted from 0."""
    return f"{split}/{row:05d}{suffix}" if split else f"{row:05d}{suffix}"


def _check_whole(both: dict[str, Collected]) -> None:
    if "labels" not in both:
        remedy = "Add them, called as the images are but for the word labels, or leave this file out."
        raise refuse(both["images"].name, "holds images, and no file holds their labels", remedy)
    if "images" not in both:
        remedy = "Add them, called as the labels are but for the word images, or leave this file out."
        raise refuse(both["labels"].name, "holds labels, and no file holds the images that they are of", remedy)


def _role(words: Sequence[str]) -> Literal["images", "labels"] | None:
    roles = {_ROLE_WORDS[word] for word in words if word in _ROLE_WORDS}
    if "labels" in roles:  # `data_labels`, `y_images`
        return "labels"
    return "images" if roles else None


def _split_of_folder(folder: str) -> NamedSplit | None:
    return _SPLIT_WORDS.get(_stem(folder).lower().removeprefix(_PARTIAL))


def _stem(name: str) -> str:
    """Without the suffix, and the one that an idx file has from its packer."""
    return PurePosixPath(name).stem if name.lower().endswith(_SUFFIXES) else name
