"""Which column of a table holds the labels, by its name; and which of several that say the same."""

from collections.abc import Sequence

from noisegate.data.layouts.class_names import as_number
from noisegate.data.layouts.tables import Table
from noisegate.data.layouts.text import as_label
from noisegate.data.layouts.words import each_of, words_in

_LABEL_WORDS = each_of("label labels class classes classname classlabel category categories target targets choice")


def is_called_label(name: str) -> bool:
    """Whether a column's name says that it holds labels."""
    return not words_in(name).isdisjoint(_LABEL_WORDS)


def label_columns(names: Sequence[str]) -> list[str]:
    """Those that are called so."""
    return [name for name in names if is_called_label(name)]


def names_of(table: Table, columns: Sequence[str]) -> str | None:
    """The one of several columns that names the classes, where the others are numbers that stand one to one for the names.

    `class` of `class` and `class_id`; the first of them where all hold the same. None if they group the images in different
    ways, or if several hold words: which of these are meant is not known.
    """
    rows = set(zip(*([as_label(cell) for cell in table.column(name)] for name in columns), strict=True))
    distinct = [set(cells) for cells in zip(*rows, strict=True)]
    if any(len(cells) != len(rows) for cells in distinct):
        return None
    if all(len(set(row)) == 1 for row in rows):
        return columns[0]
    in_words = [
        name
        for name, cells in zip(columns, distinct, strict=True)
        if any(cell is not None and as_number(cell) is None for cell in cells)
    ]
    return in_words[0] if len(in_words) == 1 else None
