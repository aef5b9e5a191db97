"""Tables in text: CSV with commas, semicolons or tabs, JSON lines, and JSON lists of objects. Cells stay as they are written."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from noisegate.data.layouts.text import Unreadable, decoded, parsed

# What Excel takes as a delimiter from a file's first line.
_TOLD = re.compile(r'(?P<line>"?sep=(?P<mark>[,;\t])"?)[ \t]*\r?\n', re.IGNORECASE)
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True, slots=True)
class Row:
    """`at` says where it stands: `line 3`. A cell is text, or any other JSON value; None where there is none."""

    at: str
    cells: Sequence[Any]


@dataclass(frozen=True)
class Table:
    """Rows as long as the header, whose names differ."""

    file: str
    header: Sequence[str]
    rows: Sequence[Row]

    def place(self, name: str) -> int:
        """The place of a column in the header and in every row."""
        return self._places[name]

    def column(self, name: str) -> Sequence[Any]:
        """All of its cells."""
        return self._columns[self._places[name]]

    def distinct(self, name: str) -> Set[Any]:
        """Its cells, each once; None for those that are lists and objects."""
        return self._distinct[self._places[name]]

    # Made when first asked, for all columns at once: there may be thousands.

    @cached_property
    def _places(self) -> Mapping[str, int]:
        places: dict[str, int] = {}
        for at, name in enumerate(self.header):
            places.setdefault(name, at)
        return places

    @cached_property
    def _columns(self) -> Sequence[Sequence[Any]]:
        return list(zip(*(row.cells for row in self.rows), strict=True)) if self.rows else [()] * len(self.header)

    @cached_property
    def _distinct(self) -> Sequence[Set[Any]]:
        return [_distinct(cells) for cells in self._columns]


def read_table(name: str, content: bytes) -> Table | None:
    """The table in a file, by its suffix; None for another kind of file.

    Raises:
        Unreadable: it is no such table.
    """
    match PurePosixPath(name).suffix.lower():
        case ".csv" | ".tsv":
            return _csv(name, decoded(name, content))
        case ".jsonl" | ".ndjson":
            lines = decoded(name, content).split("\n")
            objects = [(f"line {at}", line) for at, line in enumerate(lines, 1) if line.strip()]
            return _objects(name, [(at, parsed(name, line)) for at, line in objects])
        case ".json" if _is_list(content):
            entries = parsed(name, decoded(name, content))
            if not all(isinstance(entry, dict) for entry in entries):
                return None  # a list of other things, such as the names of classes
            return _objects(name, [(f"entry {at}", entry) for at, entry in enumerate(entries, 1)])
        case _:
            return None


def _is_list(content: bytes) -> bool:
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return content.decode(encoding, "ignore").lstrip().startswith("[")


def _csv(name: str, text: str) -> Table:
    """By the one delimiter that gives two columns or more, and every row as many cells as the header."""
    told = _TOLD.match(text)
    if told:  # an empty line in its place, so that lines keep their numbers
        text = text[told.end("line") :]
    header = next((line for line in text.splitlines() if line.strip()), "")
    marks = told["mark"] if told else _DELIMITERS
    tried = {mark: _records(name, text, mark) for mark in marks if mark in header}
    even = {mark: rows for mark, rows in tried.items() if isinstance(rows, list)}
    if len(even) > 1:
        raise Unreadable(
            name, f"can be read with {' or '.join(_DELIMITERS[mark] for mark in even)} between its columns"
        )
    if even:
        (rows,) = even.values()
    elif tried:
        # The mark that the header has most of is the likeliest; what is wrong is said of that.
        raise next(fault for mark in sorted(tried, key=header.count) if isinstance(fault := tried[mark], Unreadable))
    else:
        one_column = _records(name, text, ",")
        if isinstance(one_column, Unreadable):
            raise one_column
        rows = one_column
    if not rows:
        raise Unreadable(name, "is empty")
    names = [cell.strip() for cell in rows[0].cells]
    twice = next((each for each, number in Counter(names).items() if each and number > 1), None)
    if twice:
        raise Unreadable(name, f"has two columns called {twice!r}")
    return Table(name, names, rows[1:])


def _distinct(cells: Sequence[Any]) -> Set[Any]:
    try:
        return frozenset(cells)
    except TypeError:  # lists and objects of JSON, which have no hash
        return frozenset(None if isinstance(cell, list | dict) else cell for cell in cells)


def _records(name: str, text: str, mark: str) -> list[Row] | Unreadable:
    """All rows that are not empty, the header first; or what is wrong with them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True, skipinitialspace=mark != "\t")
    rows: list[Row] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if rows and len(cells) != len(rows[0].cells):
                cut = f"has {len(cells)} cells in line {reader.line_num}, where the header has {len(rows[0].cells)}"
                return Unreadable(name, f"{cut}: put quotes around cells that hold the character between cells")
            rows.append(Row(f"line {reader.line_num}", cells))
    except csv.Error as error:
        return Unreadable(name, f"is no CSV in line {reader.line_num}: {error}")
    return rows


def _objects(name: str, found: Sequence[tuple[str, object]]) -> Table:
    header: dict[str, None] = {}
    for at, entry in found:
        if not isinstance(entry, dict):
            raise Unreadable(name, f"holds no object in {at}")
        header.update(dict.fromkeys(entry))
    return Table(name, list(header), list(_rows(found, list(header))))


def _rows(found: Sequence[tuple[str, Any]], header: Sequence[str]) -> Iterator[Row]:
    for at, entry in found:
        yield Row(at, [entry.get(key) for key in header])
