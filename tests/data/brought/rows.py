"""One row of the table: an upload, and what must become of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisegate.api.reading import AS_IT_IS, Reading
from noisegate.data.members import ArchiveLimits
from noisegate.data.packing import PackedDataset, pack
from noisegate.data.uploads import read_upload
from noisegate.errors import NoisegateError
from noisegate.inference.decoding import ImageLimits

from .photos import shown

IMAGE_SIZE = 8
Files = Mapping[str, bytes]
Write = Callable[[Path], object]


@dataclass(frozen=True)
class Row:
    """Either `classes` with (training, test) images of each, or `refused`, a pattern of the sentence.

    Attributes:
        write: writes the upload to the path that it is given.
        remedy: a pattern of what is offered, if it is refused.
        notes: patterns, one for each note of the report.
        left_out: files that were left out, each with a pattern of the reason.
        val: the side that validation images are on.
    """

    name: str
    write: Write
    classes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    refused: str = ""
    remedy: str = "."
    notes: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    val: str = "train"
    reading: Reading = AS_IT_IS


def taken(name: str, write: Write, classes: Mapping[str, tuple[int, int]], **more: Any) -> Row:
    """A row that becomes a data set."""
    return Row(name, write, classes, **more)


def refused(name: str, write: Write, words: str, **more: Any) -> Row:
    """A row that is refused, in a sentence with these words (a pattern)."""
    return Row(name, write, refused=words, **more)


def packed(row: Row, folder: Path) -> PackedDataset:
    """The data set that a row becomes, as the worker makes it."""
    folder.mkdir(exist_ok=True)
    upload, out = folder / "upload", folder / "out"
    row.write(upload)
    out.mkdir()
    members = read_upload(upload, ArchiveLimits(), folder, row.reading.names)
    return pack(members, IMAGE_SIZE, out, lambda _: None, ImageLimits(), row.reading)


def check(row: Row, folder: Path) -> None:
    """Fails if a row does not become what it says; every image's class and part are read from its pixels."""
    if row.refused:
        with pytest.raises(NoisegateError, match=row.refused) as caught:
            packed(row, folder)
        assert caught.value.field == "archive"
        assert re.search(row.remedy, caught.value.remedy or "")
        assert "\n" not in caught.value.detail
        assert list((folder / "out").iterdir()) == []
        return
    found = packed(row, folder)
    _check_images(row, found)
    report = found.report
    assert {name: tuple(counts[name] for counts in found.counts.values()) for name in found.classes} == row.classes
    assert {one.name: (one.train, one.test) for one in report.classes} == row.classes
    _check_notes(row.notes, report.notes)
    why = {name: group.why for group in report.left_out for name in group.names}
    assert why.keys() == row.left_out.keys()
    assert [name for name, words in row.left_out.items() if not re.search(words, why[name])] == []


def _check_notes(wanted: Sequence[str], notes: Sequence[str]) -> None:
    """Every note must be wanted, and every one that is wanted be there."""
    left = [note for note in notes if not any(re.search(words, note) for words in wanted)]
    missing = [words for words in wanted if not any(re.search(words, note) for note in notes)]
    assert (left, missing) == ([], [])


def _check_images(row: Row, found: PackedDataset) -> None:
    images, labels = np.load(found.images_path), np.load(found.labels_path)
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        side = "train" if place < found.train_count else "test"
        name, part = shown(image)
        assert name == found.classes[label]
        assert side == {"val": row.val, None: side}.get(part, part)
