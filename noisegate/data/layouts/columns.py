"""Which column of a table names the images, which their classes and which their parts. Between two, none is guessed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noisegate.data.layouts.one_hot import is_exclusive
from noisegate.data.layouts.parts import part_called
from noisegate.data.layouts.references import References
from noisegate.data.layouts.suffixes import is_picture
from noisegate.data.layouts.tables import Table
from noisegate.data.layouts.text import as_label
from noisegate.data.layouts.words import each_of, listed
from noisegate.data.members import NamedSplit

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_LABEL_WORDS = each_of("label labels class classes classname classlabel category categories target targets choice")
_FILE_WORDS = each_of(
    "file files filename filenames filepath filepaths path paths image images img imgs imagename imageid "
    "imagepath picture photo id ids uri url fname"
)
_PART_WORDS = each_of("split splits subset part partition set fold")
# `is_train`, with 0 and 1, which says nothing of the others.
_OF_PARTS = _PART_WORDS | each_of("train training test testing val valid validation")


@dataclass(frozen=True)
class Columns:
    """`is_named` tells a column whose name says that it holds labels from one that is the only one left."""

    file: str
    label: str
    part: str | None
    is_named: bool


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
    of_parts = [name for name in table.header if name != file and _says_parts(name, table)]
    others = [name for name in table.header if name not in (file, *of_parts) and name]
    if is_exclusive(table, others):
        return Unclear("has a column of 0 and 1 for each class", file, others)
    named = label_columns(others)
    candidates = named or [name for name in others if not _words(name) & _FILE_WORDS]
    if not candidates:
        return None
    if len(candidates) > 1:
        why = f"names images, but its classes may stand in {listed(candidates, 'or')}"
        return Unclear(why, file, () if named else candidates)
    if len(of_parts) > 1:
        return Unclear(f"may name the parts in {listed(of_parts, 'or')}")
    return Columns(file, candidates[0], of_parts[0] if of_parts else None, bool(named))


def label_columns(names: Sequence[str]) -> list[str]:
    """Those whose name says that they hold labels."""
    return [name for name in names if _words(name) & _LABEL_WORDS]


def unread_parts(table: Table, columns: Columns) -> list[str]:
    """Columns that may name parts, by their names, in words that say none here: `fold` with 0, 1, 2."""
    read = (columns.file, columns.label, columns.part)
    return [name for name in table.header if name not in read and _words(name) & _OF_PARTS]


def _file_column(table: Table, references: References, beside: str, part: NamedSplit | None) -> str | Unclear | None:
    """The one that names images: by files before numbers, by columns called `image` and the like before others."""
    columns = {name: table.column(name) for name in table.header if not _words(name) & _LABEL_WORDS}
    found = {name: _meant(cells, references, beside, part) for name, cells in columns.items()}
    hits = {name: meant for name, meant in found.items() if any(meant)}
    exact = {
        name for name in hits if any(isinstance(cell, str) and references.is_exact(cell) for cell in columns[name])
    }
    for narrower in (exact, {name for name in hits if _words(name) & _FILE_WORDS}):
        if narrower & hits.keys():
            hits = {name: meant for name, meant in hits.items() if name in narrower}
    if not hits:
        return _unmatched(table)
    best = max(hits, key=lambda name: sum(map(bool, hits[name])))
    called = [name for name in columns if _words(name) & _FILE_WORDS and any(map(as_label, columns[name]))]
    if called and best not in called:
        return Unclear(f"names no image of the archive in its column {called[0]!r}, and could in {best!r}")
    for name, meant in hits.items():
        if any(one and other and one != other for one, other in zip(meant, hits[best], strict=True)):
            return Unclear(f"may name the images in {listed({name, best}, 'or')}")
    return best


def _meant(
    cells: Sequence[Any], references: References, beside: str, part: NamedSplit | None
) -> Sequence[tuple[int, ...]]:
    return [tuple(references.find(cell, beside, part)) if isinstance(cell, str) else () for cell in cells]


def _without_header(table: Table, references: References) -> Unclear | None:
    """Whether the first line, taken for a header, names an image itself."""
    for name in table.header:
        if is_picture(name) or (references.find(name) and not _words(name) & (_FILE_WORDS | _LABEL_WORDS)):
            return Unclear(f"has no header: its first line names an image, {name!r}; put filename,label before it")
    return None


def _unmatched(table: Table) -> Unclear | None:
    """What is wrong with a table of labels, by its header, that names none of the images."""
    files = [name for name in table.header if _words(name) & _FILE_WORDS]
    if not files or not table.rows or not any(_words(name) & _LABEL_WORDS for name in table.header):
        return None
    first = table.column(files[0])[0]
    return Unclear(
        f"names no image of the archive in its column {files[0]!r}: {first!r} in {table.rows[0].at}, for one"
    )


def _says_parts(name: str, table: Table) -> bool:
    """By its name and its cells; or by cells that are all called as parts, two or more of them."""
    parts = [part_called(cell) for cell in map(as_label, table.column(name)) if cell]
    if not parts or None in parts or _words(name) & _LABEL_WORDS:
        return False
    return bool(_words(name) & _PART_WORDS) or len(set(parts)) > 1


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}
