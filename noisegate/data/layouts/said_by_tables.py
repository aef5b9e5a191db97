"""What one table says of the images: a row for each, by the columns that were chosen, or by those of an export."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from noisegate.data.layouts.columns import Columns, Unclear, choose, unread_parts
from noisegate.data.layouts.label_columns import may_name_classes
from noisegate.data.layouts.label_studio import label_studio
from noisegate.data.layouts.one_hot import ROBOFLOW, is_one_hot, one_hot
from noisegate.data.layouts.part_columns import note_on_unread
from noisegate.data.layouts.parts import part_called
from noisegate.data.layouts.references import References
from noisegate.data.layouts.statements import Said, Statement
from noisegate.data.layouts.tables import Table
from noisegate.data.layouts.text import as_label, single_label
from noisegate.data.layouts.words import count, each_of, listed
from noisegate.data.members import NamedSplit, refuse

_NEARLY_ALL = 0.8
# Of tables for object detection, and of classified pictures whose object is boxed.
_BOX_WORDS = each_of("xmin ymin xmax ymax x1 y1 x2 y2 bbox roi.x1 roi.y1 roi.x2 roi.y2")


def read_said(
    table: Table, references: References, folder: str, part: NamedSplit | None
) -> tuple[Said | Unclear | None, bool]:
    """What a table says, and whether its labels are sure to be labels. `part` is the one that its path says.

    Raises:
        Unreadable: a row with several labels.
        InvalidArchive: a row without a part where others have one.
    """
    if PurePosixPath(table.file).name == ROBOFLOW and len(table.header) > 1:
        return one_hot(table, table.header[0], table.header[1:], references, folder, part), True
    exported = label_studio(table, references)
    if exported is not None:
        return exported, True
    columns = choose(table, references, folder, part)
    if isinstance(columns, Unclear) and columns.file is not None and is_one_hot(table, columns.others):
        return one_hot(table, columns.file, columns.others, references, folder, part), True
    if not isinstance(columns, Columns):
        return columns, False
    statements = list(_statements(table, columns, references, folder, part))
    return Said(table.file, statements, _notes(table, columns, statements, references)), columns.is_named


def _statements(
    table: Table, columns: Columns, references: References, folder: str, part: NamedSplit | None
) -> Iterator[Statement]:
    file, label = table.place(columns.file), table.place(columns.label)
    at_part = table.place(columns.part) if columns.part else None
    for row in table.rows:
        written = as_label(row.cells[file]) or ""
        own_part = part if at_part is None else part_called(as_label(row.cells[at_part]) or "")
        meant = references.find(written, folder, part if at_part is None else None)
        if len(meant) > 1:
            meant = references.find(written, folder, own_part)
        said = single_label(table.file, row.cells[label], row.at)
        if at_part is not None and own_part is None and meant and said is not None:
            what = f"says no part of {written!r} in {row.at}, where other rows have one in {columns.part!r}"
            raise refuse(table.file, what, "Write train, val or test into every row, or leave that column out.")
        yield Statement(row.at, written, meant, said, own_part)


def _notes(table: Table, columns: Columns, statements: Sequence[Statement], references: References) -> list[str]:
    notes = [] if columns.is_named else [f"the column {columns.label!r} of {table.file!r} was taken for the classes"]
    if columns.same:
        stand = "stands" if len(columns.same) == 1 else "stand"
        notes.append(
            f"{listed(columns.same)} of {table.file!r} {stand} one to one for {columns.label!r}, which was taken"
        )
    if boxes := [name for name in table.header if name.strip().lower() in _BOX_WORDS]:
        notes.append(
            f"{table.file!r} has boxes, {listed(boxes)}, which were not read: a class was taken for the whole image"
        )
    if others := _other_classes(table, columns):
        notes.append(f"{listed(others)} of {table.file!r} may name classes too: {columns.label!r} was taken")
    notes += _elsewhere(table.file, statements, references)
    if unread := unread_parts(table, columns):
        notes.append(note_on_unread(unread, table.file))
    return notes


def _other_classes(table: Table, columns: Columns) -> list[str]:
    read = {columns.file, columns.label, columns.part, *columns.same, *unread_parts(table, columns)}
    return [
        name
        for name in table.header
        if name.strip() and name not in read and name.strip().lower() not in _BOX_WORDS
        if may_name_classes(name, set(map(as_label, table.distinct(name))), len(table.rows))
    ]


def _elsewhere(file: str, statements: Sequence[Statement], references: References) -> list[str]:
    """A sentence about the few images that a table finds in other folders than nearly all: their own may be missing."""
    paths = [references.paths[each.meant[0]] for each in statements if len(each.meant) == 1]
    folders = Counter(path.rpartition("/")[0] for path in paths)
    if not folders:
        return []
    usual, number = folders.most_common(1)[0]
    others = [path for path in paths if path.rpartition("/")[0] != usual]
    if not others or number < _NEARLY_ALL * len(paths):
        return []
    return [
        f"{file!r} names {count(len(others), 'image')} outside {usual or '.'!r}, where all others lie, such as {others[0]!r}"
    ]
