"""Every upload of the table either gives each image the class and the part that its pixels show, or is refused by name."""

from pathlib import Path

import pytest

from noisegate.errors import NoisegateError

from .brought import (
    archive_rows,
    doubt_rows,
    export_rows,
    folder_rows,
    format_rows,
    image_rows,
    inner_rows,
    lost_rows,
    part_rows,
    table_rows,
    told_rows,
)
from .brought.rows import Row, check, packed

ROWS = [
    *archive_rows.ROWS,
    *image_rows.ROWS,
    *folder_rows.ROWS,
    *table_rows.ROWS,
    *export_rows.ROWS,
    *format_rows.ROWS,
    *lost_rows.ROWS,
    *part_rows.ROWS,
    *told_rows.ROWS,
    *doubt_rows.ROWS,
    *inner_rows.ROWS,
]
BY_NAME = {row.name: row for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_is_brought(row: Row, tmp_path: Path) -> None:
    check(row, tmp_path)


def test_the_same_files_have_one_hash_however_they_came(tmp_path: Path) -> None:
    names = ["UTF-8 without the mark", "UTF-8 with the mark", "Info-ZIP's Unicode paths beside cp850", "cp850, named"]
    names += [
        "accents decomposed, as macOS has them",
        "tar: tar.gz",
        "tar.zst by GNU",
        "zip by Info-ZIP, stored, umlauts",
    ]
    found = {name: packed(BY_NAME[name], tmp_path / str(number)).content_hash for number, name in enumerate(names)}
    assert len(set(found.values())) == 1


HANDED = Path(__file__).parents[2].parent / "shared" / "cases" / "2026-11-28"
FIVE = {"cat": (4, 1), "dog": (4, 1)}
CASES: dict[str, dict[str, tuple[int, int]] | str] = {
    "class-of-gifs.zip": {**FIVE, "frog": (4, 1)},
    "only-bmps.zip": FIVE,
    "utf8-names-without-flag.zip": {"Birnen": (4, 1), "Äpfel": (4, 1)},
    "utf8-names.tar.gz": {"Birnen": (4, 1), "Äpfel": (4, 1)},
    "macos-screenshot.zip": {"cat": (5, 1), "dog": (4, 1)},
    "class-called-train.zip": {"bus": (4, 1), "car": (4, 1), "train": (4, 1)},
    "several-bad-images.zip": "4 of 12 images cannot be read: .* is empty",
    "train-and-val.zip": {"cat": (3, 3), "dog": (3, 3)},
    "two-folders-deep.zip": FIVE,
    "powershell-backslashes.zip": FIVE,
    "test-images-also-in-train.zip": {"cat": (4, 4), "dog": (4, 4)},
}


@pytest.mark.skipif(not HANDED.is_dir(), reason="the handed files of 2026-11-28 are not beside this checkout")
@pytest.mark.parametrize("name", CASES)
def test_the_handed_cases(name: str, tmp_path: Path) -> None:
    expected = CASES[name]
    row = Row(name, lambda path: path.write_bytes((HANDED / name).read_bytes()))
    if isinstance(expected, str):
        with pytest.raises(NoisegateError, match=expected):
            packed(row, tmp_path)
        return
    found = packed(row, tmp_path)
    assert {one.name: (one.train, one.test) for one in found.report.classes} == expected
