"""What lies in a folder: which files are images by their first bytes, and what else could say something of them."""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from noisegate.client.errors import UnusableFile
from noisegate.client.files import open_file, why_not
from noisegate.data import kinds
from noisegate.file_kinds import is_image

HIDDEN = "hidden"

# `many`: a file that holds many images, such as Parquet or a tar.
Kind = Literal["image", "text", "many"]
_HOLD_MANY = (kinds.is_packed_idx, kinds.may_be_npz, kinds.is_tar)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file. `member` is its path from the folder, with slashes, the same on every system; `size` in bytes."""

    member: str
    path: Path
    size: int
    kind: Kind = "image"


@dataclass
class Walked:
    """What lies in a folder.

    Attributes:
        files: what may be read, of the kinds asked for.
        folders: all, by their paths.
        left_out: the others by path, and why: words that follow on the path.
        hidden: how many files and folders are hidden, or a system's own.
        problems: what cannot be read.
    """

    files: list[FoundFile] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    hidden: int = 0
    problems: list[tuple[Path, UnusableFile]] = field(default_factory=list)

    def images_and_others(self) -> tuple[list[FoundFile], list[str]]:
        """The images, and the paths of all else."""
        images = [file for file in self.files if file.kind == "image"]
        return images, [*self.left_out, *(file.member for file in self.files if file.kind != "image")]


@dataclass(frozen=True)
class FoundImages:
    """What is to be sent of a folder, ordered by `member`.

    Attributes:
        counts: images by part and class, as the service will split them; None where only it can look into the files.
        notes: what was taken for what, where another reading was possible.
        left_out: what is sent or stays and becomes no image, by path, and why.
        hidden: how many files and folders are hidden, or a system's own.
    """

    folder: Path
    files: list[FoundFile]
    counts: dict[str, dict[str, int]] | None
    notes: tuple[str, ...]
    left_out: Mapping[str, str]
    hidden: int

    @property
    def classes(self) -> list[str]:
        """All classes, sorted."""
        return sorted({name for of_split in (self.counts or {}).values() for name in of_split})


def walk(folder: Path) -> Walked:
    """All files below a folder, ordered by `member`. Links are followed, but for one that leads back to a folder above it."""
    walked = Walked()
    _walk_into(walked, folder, "", frozenset())
    walked.files.sort(key=lambda file: file.member)
    return walked


def suffix_words(names: Iterable[str], hidden: int = 0) -> str:
    """How many files there are of which suffix: `3 hidden, 2 .heic`."""
    suffixes = Counter(Path(name).suffix.lower() or "without suffix" for name in names)
    if hidden:
        suffixes[HIDDEN] = hidden
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(suffixes.items()))


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
        except UnusableFile as error:
            walked.problems.append((path, error))


def _enter(walked: Walked, path: Path, prefix: str, above: frozenset[tuple[int, int]]) -> None:
    # macOS writes accents apart, others do not: the same folder is to be the same dataset.
    member = unicodedata.normalize("NFC", prefix + path.name)
    if kinds.is_passed_over(path.name):
        walked.hidden += 1
    elif path.is_dir():
        walked.folders.append(member)
        _walk_into(walked, path, f"{member}/", above)
    elif path.is_symlink() and not path.exists():
        raise UnusableFile(f"{path} is a link that leads nowhere. Repair it, or take it out.")
    else:
        _add(walked, path, member)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _add(walked: Walked, path: Path, member: str) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFile(f"{path} is no file. Take it out.")
    if not os.access(path, os.R_OK):
        raise UnusableFile(f"{path} cannot be read: you may not. Change its permissions, or take it out.")
    kind, why = _kind(path)
    if kind is None:
        walked.left_out[member] = why
    else:
        walked.files.append(FoundFile(member, path, status.st_size, kind))


def _kind(path: Path) -> tuple[Kind | None, str]:
    """What a file is, as the service tells it; for what it would not read, why."""
    if kinds.has_image_suffix(path.name):
        return "image", ""
    with open_file(path) as file:
        head = file.read(kinds.HEAD_BYTES)
    if is_image(head) and not kinds.is_camera_raw(path.name):
        return "image", ""
    if what := kinds.missing(path.name, head):
        raise UnusableFile(f"{path} {what}. Fetch the whole of it, by git lfs pull for one, or take it out.")
    if kinds.holds_images(path.name, head) or any(holds(head) for holds in _HOLD_MANY):
        return "many", ""
    if kinds.is_text(path.name):
        return "text", ""
    described = kinds.describe(path.name, head)
    return None, f"is {described}, which is not read" if described else "is not an image"
