"""Every upload of the table either gives each image the class and the part that its pixels show, or is refused by name."""

from pathlib import Path

import pytest

from .brought import archive_rows
from .brought.rows import Row, check

ROWS = [*archive_rows.ROWS]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_is_brought(row: Row, tmp_path: Path) -> None:
    check(row, tmp_path)
