"""A folder of images: which files the service would read, of which class, and what stays at home.

The service knows three layouts, each also below one common folder: train/CLASS/IMAGE beside test/CLASS/IMAGE,
train/CLASS/IMAGE alone, and CLASS/IMAGE. It has the last word on them; what it would refuse after gigabytes were sent is said
here before.
"""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from noisegate.client.errors import UnusableFile
from noisegate.client.files import why_not
from noisegate.image_kinds import IMAGE_KINDS, IMAGE_SUFFIXES

HIDDEN = "hidden"

_SPLITS = ("train", "test")
_ARRANGE = "Arrange the images as CLASS/IMAGE, or as train/CLASS/IMAGE and test/CLASS/IMAGE."


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image. `member` is its path from the folder, with slashes, the same on every system; `size` in bytes."""

    member: str
    path: Path
    size: int


@dataclass
class Walked:
    """What lies in a folder. `left_out` counts what is no image, by suffix, and what is hidden; `problems` what is unreadable."""

    files: list[ImageFile] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[Path, UnusableFile]] = field(default_factory=list)


@dataclass(frozen=True)
class FoundImages:
    """Images to train on, ordered by `member`; `counts` by split (`all` where the service is to split them) and class."""

    folder: Path
    files: list[ImageFile]
    counts: dict[str, dict[str, int]]
    left_out: Counter[str]

    @property
    def classes(self) -> list[str]:
        """All classes, sorted."""
        return sorted({name for of_split in self.counts.values() for name in of_split})


def find_images(folder: Path) -> FoundImages:
    """The images of a folder of class folders.

    Raises:
        UnusableFile: no such folder, nothing to train on in it, or something that would not become what it looks like:
            an empty class folder, an image outside the layout, a file that cannot be read, a link that leads nowhere or back.
    """
    walked = walk(folder)
    for _, problem in walked.problems:
        raise problem
    if not walked.files:
        raise UnusableFile(f"{folder} holds no {IMAGE_KINDS} files{_besides(walked.left_out)}. {_ARRANGE}")
    _check_names(walked)
    _check_no_empty_folder(folder, walked)
    counts = _counts(folder, [file.member for file in walked.files])
    _check_counts(folder, counts)
    return FoundImages(folder, walked.files, counts, walked.left_out)


def walk(folder: Path) -> Walked:
    """All images below a folder, ordered by `member`. Links are followed, but for one that leads back to a folder above it."""
    walked = Walked()
    _walk_into(walked, folder, "", frozenset())
    walked.files.sort(key=lambda file: file.member)
    return walked


def left_out_words(left_out: Counter[str]) -> str:
    """`3 hidden, 2 .heic`; empty where nothing was left out."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(left_out.items()))


def _walk_into(walked: Walked, folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> None:
    try:
        identity = _identity(folder)
        paths = sorted(folder.iterdir())
    except OSError as error:
        walked.problems.append((folder, UnusableFile(f"{folder} cannot be read: {why_not(error)}")))
        return
    if identity in above:
        what = "is a link that leads back to a folder above it. Remove it."
        walked.problems.append((folder, UnusableFile(f"{folder} {what}")))
        return
    for path in paths:
        try:
            _enter(walked, path, prefix, above | {identity})
        except OSError as error:
            what = f"cannot be read: {why_not(error)}. Take it out."
            walked.problems.append((path, UnusableFile(f"{path} {what}")))


def _enter(walked: Walked, path: Path, prefix: str, above: frozenset[tuple[int, int]]) -> None:
    # macOS writes accents apart, others do not: the same folder is to be the same dataset.
    member = unicodedata.normalize("NFC", prefix + path.name)
    if path.name.startswith(".") or path.name == "__MACOSX":
        walked.left_out[HIDDEN] += 1
    elif path.is_dir():
        walked.folders.append(member)
        _walk_into(walked, path, f"{member}/", above)
    elif path.is_symlink() and not path.exists():
        walked.problems.append((path, UnusableFile(f"{path} is a link that leads nowhere. Repair it, or take it out.")))
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        _add(walked, path, member)
    else:
        walked.left_out[path.suffix.lower() or "without suffix"] += 1


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _add(walked: Walked, path: Path, member: str) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        walked.problems.append((path, UnusableFile(f"{path} is no file. Take it out.")))
    elif not os.access(path, os.R_OK):
        what = "cannot be read: you may not. Change its permissions, or take it out."
        walked.problems.append((path, UnusableFile(f"{path} {what}")))
    else:
        walked.files.append(ImageFile(member, path, status.st_size))


def _check_names(walked: Walked) -> None:
    for before, file in zip([None, *walked.files], walked.files, strict=False):
        if not file.member.isprintable() or "\\" in file.member:
            raise UnusableFile(f"{file.member!r} has unprintable characters or a backslash in its name. Rename it.")
        if before and before.member == file.member:
            raise UnusableFile(
                f"{file.path} is called as another file is, but for the spelling of its accents. Rename one."
            )


def _check_no_empty_folder(folder: Path, walked: Walked) -> None:
    filled = {parent for file in walked.files for parent in _parents(file.member)}
    empty = [name for name in walked.folders if name not in filled]
    if empty:
        more = f", nor do {len(empty) - 1:,} other folders" if empty[1:] else ""
        besides = _besides(walked.left_out)
        remedy = "Add images, or take the folder out."
        raise UnusableFile(f"{folder / empty[0]} holds no {IMAGE_KINDS} files{more}{besides}. {remedy}")


def _parents(member: str) -> Iterator[str]:
    at = member.find("/")
    while at > 0:
        yield member[:at]
        at = member.find("/", at + 1)


def _counts(folder: Path, members: Sequence[str]) -> dict[str, dict[str, int]]:
    parts = [member.split("/") for member in members]
    first = parts[0][0]
    if first not in _SPLITS and all(part[0] == first and len(part) > 2 for part in parts):
        parts = [part[1:] for part in parts]
    is_split = any(part[0] in _SPLITS for part in parts)
    counts: dict[str, Counter[str]] = {}
    for member, part in zip(members, parts, strict=True):
        if len(part) != 2 + is_split or (is_split and part[0] not in _SPLITS):
            raise UnusableFile(f"{folder / member} lies in no class folder, or below one. {_ARRANGE}")
        counts.setdefault(part[0] if is_split else "all", Counter())[part[-2]] += 1
    return {split: dict(of_split) for split, of_split in sorted(counts.items(), reverse=True)}


def _check_counts(folder: Path, counts: dict[str, dict[str, int]]) -> None:
    if "test" not in counts:
        (of_all,) = counts.values()
        for name, count in sorted(of_all.items()):
            if count < 2:
                what = "has a single image, which cannot be in train and in test"
                raise UnusableFile(f"{folder}: class {name!r} {what}. Add images to it, or give test/CLASS/ folders.")
    names = {name for of_split in counts.values() for name in of_split}
    if len(names) < 2:
        raise UnusableFile(f"{folder} has one class only, {names.pop()!r}: a classifier needs two or more. {_ARRANGE}")


def _besides(left_out: Counter[str]) -> str:
    return f" ({left_out_words(left_out)} left out)" if left_out else ""
