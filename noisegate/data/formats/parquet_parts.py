"""Which part each row of a Parquet file is of, where a column says it; by the same rules as in tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from noisegate.data.formats.parquet_columns import Columns, is_text_type, listed
from noisegate.data.formats.parquet_file import Row, opened, texts
from noisegate.data.formats.parts import Held
from noisegate.data.layouts.label_columns import is_called_label, may_name_classes
from noisegate.data.layouts.part_columns import may_name_parts, note_on_unread, says_parts, stray
from noisegate.data.layouts.parts import part_called
from noisegate.data.layouts.text import as_label
from noisegate.data.members import ArchiveLimits, Collected, NamedSplit, Told, refuse

# More distinct values name no parts.
_MOST_VALUES = 100


@dataclass(frozen=True)
class Table:
    """One file, what its name says, and its columns."""

    file: Collected
    held: Held
    columns: Columns


def with_parts(
    file: Collected, schema: "pa.Schema", columns: Columns, limits: ArchiveLimits
) -> tuple[Columns, list[Told]]:
    """The columns with the one that names the parts, if there is one, and sentences about others that may, or may name classes.

    Raises:
        InvalidArchive: two columns may name the parts, or one names something else too.
    """
    found, unread, classes = [], [], []
    for name in schema.names:
        if name in (columns.image, columns.label) or is_called_label(name):
            continue
        cells = _cells(texts(file, name, limits)) if is_text_type(schema.field(name).type) else set()
        if wrong := stray(name, cells):
            what = f"names parts in its column {name!r}, but {wrong!r} is none"
            raise refuse(file.name, what, "Write train, validation or test into every row of it.")
        if says_parts(name, cells):
            found.append(name)
        elif may_name_parts(name):
            unread.append(name)
        elif may_name_classes(name, cells, _rows(file, limits)):
            classes.append(name)
    if len(found) > 1:
        raise refuse(file.name, f"may name the parts in {listed(found)}", "Leave one of these columns.")
    told = [Told(note_on_unread(unread, file.name))] if unread else []
    classes += [
        name
        for name in schema.names
        if name not in (columns.image, columns.label)
        and is_called_label(name)
        and is_text_type(schema.field(name).type)
    ]
    if classes:
        told.append(Told(f"{listed(classes)} of {file.name!r} may name classes too: {columns.label!r} was taken"))
    return (replace(columns, part=found[0]) if found else columns), told


def check_parts(tables: Sequence[Table]) -> list[Told]:
    """Sentences about columns that were taken where a file's name says a part.

    Raises:
        InvalidArchive: some files say their part, by a column or by their names, and others do not.
    """
    silent = [table.file.name for table in tables if table.columns.part is None and table.held.split is None]
    with_column = [table for table in tables if table.columns.part is not None]
    if silent and with_column:
        column = with_column[0]
        what = f"says no part of its rows, as {column.file.name!r} does in its column {column.columns.part!r}"
        raise refuse(silent[0], what, "Add that column, or put train, validation or test into the file's name.")
    if len({table.held.split for table in tables}) > 1:
        return []
    return [
        Told(
            f"the parts are those that {table.columns.part!r} of {table.file.name!r} names, not the one in the file's name"
        )
        for table in with_column
        if table.held.split is not None
    ]


def part_of_row(table: Table, number: int, row: Row, is_one_part: bool) -> NamedSplit | None:
    """The part of a row; `is_one_part` says that no two files are called as two parts, and the column counts alone.

    Raises:
        InvalidArchive: the row says none where others do, or another than the file.
    """
    if table.columns.part is None:
        return table.held.split
    said = part_called(as_label(row.part) or "")
    where = f"in row {number}, in its column {table.columns.part!r}"
    if said is None:
        what = f"says no part {where}, where other rows have one"
        raise refuse(table.file.name, what, "Write train, validation or test into every row of it.")
    if not is_one_part and table.held.split not in (None, said):
        what = f"is the {table.held.split} part by its name, and says {said} {where}"
        raise refuse(table.file.name, what, "Make the two agree, or leave the column out.")
    return said


def _rows(file: Collected, limits: ArchiveLimits) -> int:
    with opened(file, limits) as table:
        return table.metadata.num_rows  # type: ignore[no-any-return]  # pyarrow has no types


def _cells(values: Iterable[str | None]) -> set[str | None]:
    """The distinct ones, up to a number that no column of parts has."""
    found: set[str | None] = set()
    for value in values:
        found.add(as_label(value))
        if len(found) > _MOST_VALUES:
            break
    return found
