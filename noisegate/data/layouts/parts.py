"""The words by which folders and tables call the parts of a data set: `train`, `val`, `Testing`, `train_images`."""

import re
from pathlib import PurePosixPath

from noisegate.data.layouts.words import words_in
from noisegate.data.members import NamedSplit

_WORDS: dict[str, NamedSplit] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
_FOLDER = re.compile(rf"({'|'.join(_WORDS)})(?:[ _-]?(?:set|images|imgs|data))?")
_BESIDE = re.compile(rf"({'|'.join(_WORDS)})[ _.-](.+)|(.+)[ _.-]({'|'.join(_WORDS)})")


def part_called(folder: str) -> NamedSplit | None:
    """The part that a folder's name says, in small or capital letters; None if it says none. A tar is a folder."""
    match = _FOLDER.fullmatch(folder.lower().removesuffix(".tar"))
    return _WORDS[match[1]] if match else None


def beside_part(name: str) -> tuple[str, NamedSplit] | None:
    """What stands beside the part's word in a name, and the part: `cat` in `cat_train` and `train-cat`; None if none does."""
    match = _BESIDE.fullmatch(name.lower())
    return (match[2] or match[3], _WORDS[match[1] or match[4]]) if match else None


def part_of_path(path: str) -> NamedSplit | None:
    """The part that the outermost such folder of a path says, or a shard's name: `train/7.png`, `pets-val-0001.tar/7.png`."""
    for folder in path.split("/")[:-1]:
        part = part_called(folder)
        if part is None and folder.lower().endswith(".tar"):
            part = part_of_file(folder)
        if part is not None:
            return part
    return None


def part_of_file(name: str) -> NamedSplit | None:
    """The part that a file's own name says as one of its words (`val_labels.csv`); None if none, or several."""
    parts = {_WORDS[word] for word in words_in(PurePosixPath(name).stem) if word in _WORDS}
    return parts.pop() if len(parts) == 1 else None
