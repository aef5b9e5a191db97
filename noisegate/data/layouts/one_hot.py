"""Tables with a column for every class, 1 where an image is of it: Roboflow's `_classes.csv`, and others of that kind."""

from collections.abc import Sequence

from noisegate.data.layouts.references import References
from noisegate.data.layouts.statements import Said, Statement
from noisegate.data.layouts.tables import Row, Table
from noisegate.data.layouts.text import Unreadable, as_label
from noisegate.data.members import NamedSplit

ROBOFLOW = "_classes.csv"
_YES = {"1", "1.0"}
_NO = {"0", "0.0"}


def is_one_hot(table: Table, classes: Sequence[str]) -> bool:
    """Whether the columns `classes` are two or more, and all of their cells 0 or 1."""
    return len(classes) > 1 and all(as_label(cell) in _YES | _NO for name in classes for cell in table.column(name))


def is_exclusive(table: Table, classes: Sequence[str]) -> bool:
    """The same, and every row has exactly one 1: whatever the columns are called, they are the classes."""
    columns = [table.header.index(name) for name in classes]
    return is_one_hot(table, classes) and all(
        sum(as_label(row.cells[column]) in _YES for column in columns) == 1 for row in table.rows
    )


def one_hot(
    table: Table, file: str, classes: Sequence[str], references: References, beside: str, part: NamedSplit | None
) -> Said:
    """What it says; an image without any 1 has no label.

    Raises:
        Unreadable: a row with two classes, or a cell that is neither 0 nor 1.
    """
    at_file, at_classes = table.header.index(file), {name: table.header.index(name) for name in classes}
    statements = []
    for row in table.rows:
        written = as_label(row.cells[at_file]) or ""
        label = _only_class(table, row, at_classes)
        statements.append(Statement(row.at, written, references.find(written, beside, part), label, part))
    return Said(table.file, statements, [f"{table.file!r} has a column for each class, 1 where an image is of it"])


def _only_class(table: Table, row: Row, at: dict[str, int]) -> str | None:
    ones = []
    for name, column in at.items():
        cell = as_label(row.cells[column])
        if cell not in _YES | _NO:
            raise Unreadable(table.file, f"has {cell!r} for {name!r} in {row.at}, where 0 or 1 belongs")
        if cell in _YES:
            ones.append(name)
    if len(ones) > 1:
        what = (
            f"has {' and '.join(map(repr, ones))} in {row.at}: an image of several classes cannot be learned from here"
        )
        raise Unreadable(table.file, what)
    return ones[0] if ones else None
