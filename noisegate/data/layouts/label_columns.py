"""Which column of a table holds the labels, by its name; and which of several that say the same."""

from collections.abc import Sequence, Set

from noisegate.data.layouts.class_names import as_number
from noisegate.data.layouts.tables import Table
from noisegate.data.layouts.text import as_label
from noisegate.data.layouts.words import each_of, words_in

# Columns of names and measures, which group images and name no classes.
_OTHER_WORDS = each_of(
    "file filename filepath path image img id ids uuid uri url width height size bytes date time timestamp year licence license "
    "author photographer md5 sha1 sha256 hash lat latitude lon longitude seconds"
)
_LABEL_WORDS = each_of("label labels class classes classname classlabel category categories target targets choice")


def is_called_label(name: str) -> bool:
    """Whether a column's name says that it holds labels."""
    return not words_in(name).isdisjoint(_LABEL_WORDS)


def label_columns(names: Sequence[str]) -> list[str]:
    """Those that are called so."""
    return [name for name in names if is_called_label(name)]


def may_name_classes(name: str, cells: Set[str | None], rows: int) -> bool:
    """Whether a column, called as it may be, could hold the classes: its distinct `cells` are few beside the rows, and no measures.

    A column with as many values as rows names or describes images, and one with a single value tells nothing apart.
    """
    if not 2 <= len(cells - {None}) <= rows // 2:
        return False
    numbers = [as_number(cell) for cell in cells if cell is not None]
    is_measure = None not in numbers and any(
        number is not None and number != number.to_integral() for number in numbers
    )
    return not is_measure and words_in(name).isdisjoint(_OTHER_WORDS)


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
