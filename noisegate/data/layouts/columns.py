"""Which column of a table names the images, which their classes and which their parts. Between two, none is guessed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noisegate.data.layouts.label_columns import is_called_label, label_columns, names_of
from noisegate.data.layouts.one_hot import is_exclusive
from noisegate.data.layouts.part_columns import may_name_parts, says_parts, stray
from noisegate.data.layouts.references import References
from noisegate.data.layouts.statements import but_here
from noisegate.data.layouts.suffixes import is_picture
from noisegate.data.layouts.tables import Table
from noisegate.data.layouts.text import as_label
from noisegate.data.layouts.words import each_of, listed, words_in
from noisegate.data.members import NamedSplit

_FILE_WORDS = each_of(
    "file files filename filenames filepath filepaths path paths image images img imgs imagename imageid "
    "imagepath picture photo id ids uri url fname"
)


@dataclass(frozen=True)
class Columns:
    """`is_named` tells a column whose name says that it holds labels from one that is the only one left.

    `same` are columns of numbers that stand one to one for the labels.
    """

    file: str
    label: str
    part: str | None
    is_named: bool
    same: Sequence[str] = ()


@dataclass(frozen=True)
class Unclear:
    """A table that names images, but not for certain their classes; `why` follows on its name.

    `others` are the columns that are left, if `file` is the one that names the images.
    """

    why: str
    file: str | None = None
    others: Sequence[str] = ()


def choose(table: Table, references: References, beside: str, part: NamedSplit | None) -> Columns | Unclear | None:
    """The columns of a table of labels; None if it names no image, or nothing but images."""
    file = _without_header(table, references) or _file_column(table, references, beside, part)
    if file is None or isinstance(file, Unclear):
        return file
    if unknown := _unknown_part(table, file):
        return unknown
    of_parts = [name for name in table.header if name != file and _says_parts(name, table)]
    others = [name for name in table.header if name not in (file, *of_parts) and name]
    if is_exclusive(table, others):
        return Unclear("has a column of 0 and 1 for each class", file, others)
    named = label_columns(others)
    candidates = named or [name for name in others if not words_in(name) & _FILE_WORDS]
    if not candidates:
        return None
    if len(named) > 1 and (names := names_of(table, named)):
        candidates = [names]
    if len(candidates) > 1:
        why = f"names images, but its classes may stand in {listed(candidates, 'or')}"
        return Unclear(why, file, () if named else candidates)
    if len(of_parts) > 1:
        return Unclear(f"may name the parts in {listed(of_parts, 'or')}")
    same = [name for name in named if name != candidates[0]]
    return Columns(file, candidates[0], of_parts[0] if of_parts else None, bool(named), same)


def unread_parts(table: Table, columns: Columns) -> list[str]:
    """Columns that may name parts, by their names, in words that say none here: `fold` with 0, 1, 2."""
    read = (columns.file, columns.label, columns.part)
    return [name for name in table.header if name not in read and may_name_parts(name)]


def _file_column(table: Table, references: References, beside: str, part: NamedSplit | None) -> str | Unclear | None:
    """The one that names images: by files before numbers, by columns called `image` and the like before others."""
    columns = [name for name in table.header if not is_called_label(name)]
    texts = {name: {cell for cell in table.distinct(name) if isinstance(cell, str)} for name in columns}
    found = {
        cell: tuple(references.find(cell, beside, part))
        for cell in {cell for cells in texts.values() for cell in cells}
    }
    hitting = [name for name in columns if any(found[cell] for cell in texts[name])]
    exact = {name for name in hitting if any(map(references.is_exact, texts[name]))}
    for narrower in (exact, {name for name in hitting if words_in(name) & _FILE_WORDS}):
        hitting = [name for name in hitting if name in narrower] or hitting
    if not hitting:
        return _unmatched(table, references)
    hits = {name: _meant(table.column(name), found) for name in hitting}
    best = max(hits, key=lambda name: sum(map(bool, hits[name])))
    called = [name for name in columns if words_in(name) & _FILE_WORDS and any(map(as_label, texts[name]))]
    if called and best not in called:
        return Unclear(f"names no image of the archive in its column {called[0]!r}, and could in {best!r}")
    for name, meant in hits.items():
        if any(one and other and one != other for one, other in zip(meant, hits[best], strict=True)):
            return Unclear(f"may name the images in {listed({name, best}, 'or')}")
    return best


def _meant(cells: Sequence[Any], found: Mapping[str, tuple[int, ...]]) -> Sequence[tuple[int, ...]]:
    return [found[cell] if isinstance(cell, str) else () for cell in cells]


def _without_header(table: Table, references: References) -> Unclear | None:
    """Whether the first line, taken for a header, names an image itself."""
    for name in table.header:
        if is_picture(name) or (
            references.find(name) and not words_in(name) & _FILE_WORDS and not is_called_label(name)
        ):
            return Unclear(f"has no header: its first line names an image, {name!r}; put filename,label before it")
    return None


def _unmatched(table: Table, references: References) -> Unclear | None:
    """What is wrong with a table of labels, by its header, that names none of the images."""
    files = [name for name in table.header if words_in(name) & _FILE_WORDS]
    if not files or not table.rows or not label_columns(table.header):
        return None
    first = table.column(files[0])[0]
    example = f"{first!r} in {table.rows[0].at}, for one{but_here(str(first), references)}"
    return Unclear(f"names no image of the archive in its column {files[0]!r}: {example}")


def _says_parts(name: str, table: Table) -> bool:
    return not is_called_label(name) and says_parts(name, _labels(table, name))


def _unknown_part(table: Table, file: str) -> Unclear | None:
    """A column that names parts, and something else too, such as a part that is spelled wrongly."""
    for name in table.header:
        if name != file and not is_called_label(name) and (cell := stray(name, _labels(table, name))):
            return Unclear(f"names parts in {name!r}, but {cell!r} is none: these are train, val and test")
    return None


def _labels(table: Table, name: str) -> set[str | None]:
    return set(map(as_label, table.distinct(name)))
