"""Tables with a column for every class, 1 where an image is of it: Roboflow's `_classes.csv`, and others of that kind.

There may be thousands of columns: what a cell says is found out once for each distinct one.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from noisegate.data.layouts.references import References
from noisegate.data.layouts.statements import Said, Statement
from noisegate.data.layouts.tables import Row, Table
from noisegate.data.layouts.text import Unreadable, as_label
from noisegate.data.layouts.words import listed
from noisegate.data.members import NamedSplit

ROBOFLOW = "_classes.csv"
_YES = {"1", "1.0"}
_NO = {"0", "0.0"}


def is_one_hot(table: Table, classes: Sequence[str]) -> bool:
    """Whether the columns `classes` are two or more, and all of their cells 0 or 1."""
    return len(classes) > 1 and all(as_label(cell) in _YES | _NO for name in classes for cell in table.distinct(name))


def is_exclusive(table: Table, classes: Sequence[str]) -> bool:
    """The same, and every row has exactly one 1: whatever the columns are called, they are the classes."""
    if not is_one_hot(table, classes):
        return False
    cells_of, yes = _cells_of(table, classes), _written(table, classes, _YES)
    return all(sum(map(yes.__contains__, cells_of(row.cells))) == 1 for row in table.rows)


def one_hot(
    table: Table, file: str, classes: Sequence[str], references: References, beside: str, part: NamedSplit | None
) -> Said:
    """What it says; an image without any 1 has no label.

    Raises:
        Unreadable: a row with two classes, or a cell that is neither 0 nor 1.
    """
    at_file, cells_of, no = table.place(file), _cells_of(table, classes), _written(table, classes, _NO)
    statements = []
    for row in table.rows:
        written = as_label(row.cells[at_file]) or ""
        cells = cells_of(row.cells)
        ones = [(classes[at], cells[at]) for at, is_no in enumerate(map(no.__contains__, cells)) if not is_no]
        label = _only_class(table.file, row, ones)
        statements.append(Statement(row.at, written, references.find(written, beside, part), label, part))
    notes = [f"{table.file!r} has a column for each class, 1 where an image is of it"]
    without = set(classes) - {statement.label for statement in statements}
    if without:
        notes.append(f"no row of {table.file!r} has a 1 for {listed(without)}")
    return Said(table.file, statements, notes)


def _cells_of(table: Table, classes: Sequence[str]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    places = [table.place(name) for name in classes]
    return itemgetter(*places) if len(places) > 1 else lambda cells: [cells[place] for place in places]


def _written(table: Table, classes: Sequence[str], meaning: set[str]) -> set[Any]:
    """The cells of these columns that mean one of `meaning`, as they are written: with blanks around them, for one."""
    return {cell for name in classes for cell in table.distinct(name) if as_label(cell) in meaning}


def _only_class(file: str, row: Row, ones: Sequence[tuple[str, object]]) -> str | None:
    for name, cell in ones:
        if as_label(cell) not in _YES:
            raise Unreadable(file, f"has {as_label(cell)!r} for {name!r} in {row.at}, where 0 or 1 belongs")
    names = [name for name, _ in ones]
    if len(names) > 1:
        what = f"has {listed(names)} in {row.at}: an image of several classes cannot be learned from here"
        raise Unreadable(file, what)
    return names[0] if names else None
