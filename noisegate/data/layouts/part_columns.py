"""Columns that name the part of each image, such as `split` with train, val and test: of tables and of Parquet alike."""

from collections.abc import Collection

from noisegate.data.layouts.parts import part_called
from noisegate.data.layouts.words import each_of, listed, words_in

_PART_WORDS = each_of("split splits subset part partition set fold")
# `is_train`, with 0 and 1, which says nothing of the others.
_OF_PARTS = _PART_WORDS | each_of("train training test testing val valid validation")


def says_parts(name: str, cells: Collection[str | None]) -> bool:
    """Whether a column is one, by its name and its cells; or by cells that are all called as parts, two or more of them.

    `cells` are its distinct ones, None where one is empty.
    """
    found = {part_called(cell) for cell in cells if cell is not None}
    return bool(found) and None not in found and (_is_named(name) or len(found) > 1)


def stray(name: str, cells: Collection[str | None]) -> str | None:
    """A cell that says no part, in a column that is called as one of parts and in which other cells say some."""
    texts = {cell for cell in cells if cell is not None}
    strays = {cell for cell in texts if part_called(cell) is None}
    return min(strays) if _is_named(name) and strays and strays != texts else None


def may_name_parts(name: str) -> bool:
    """Whether it is called so, whatever its cells say: `fold` with 0, 1, 2."""
    return not words_in(name).isdisjoint(_OF_PARTS)


def note_on_unread(names: Collection[str], file: str) -> str:
    """A sentence about columns of a file that are called so and say no parts."""
    return f"{listed(names)} of {file!r} may name parts, but not as train, val or test: not used"


def _is_named(name: str) -> bool:
    return not words_in(name).isdisjoint(_PART_WORDS)
