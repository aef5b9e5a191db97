"""Label Studio's exports of single choices: CSV, JSON-MIN, and its full JSON of tasks.

They write images as paths or addresses on the labelling server: `/data/upload/1/ab12cd34-cat.jpg`, with eight digits that the
server put before the name. Images are found by that name, or by the name without the digits.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from noisegate.data.layouts.columns import Unclear
from noisegate.data.layouts.label_columns import label_columns
from noisegate.data.layouts.references import References, base_name
from noisegate.data.layouts.statements import Said, Statement
from noisegate.data.layouts.suffixes import is_picture
from noisegate.data.layouts.tables import Table
from noisegate.data.layouts.text import Unreadable, as_label, single_label
from noisegate.data.layouts.words import count, each_of, listed

# What the export adds to a task's own data and to its choices.
_BOOKKEEPING = each_of(
    "id annotator annotation_id created_at updated_at lead_time agreement comment comments ground_truth task"
)
_IS_FLAT = {"annotation_id", "lead_time"}
_IS_FULL = {"data", "annotations"}
_PREFIX = re.compile(r"[0-9a-f]{8}-")


def label_studio(table: Table, references: References) -> Said | Unclear | None:
    """What an export says; None if it is none.

    Raises:
        Unreadable: a task with several choices, or of another kind than choices.
    """
    if set(table.header) >= _IS_FULL:
        return _said(table.file, list(_tasks(table)), references, _skipped(table))
    if not set(table.header) >= _IS_FLAT:
        return None
    own = [name for name in table.header if name and name not in _BOOKKEEPING]
    images = [name for name in own if any(isinstance(cell, str) and _is_image(cell) for cell in table.column(name))]
    if len(images) != 1:
        return Unclear(f"may name the images in {listed(images, 'or')}" if images else "names no images")
    choices = [name for name in own if name not in images]
    choices = label_columns(choices) or choices
    if len(choices) != 1:
        return Unclear(f"may name the classes in {listed(choices, 'or')}" if choices else "names no classes")
    image, choice = table.header.index(images[0]), table.header.index(choices[0])
    rows = [
        (row.at, str(row.cells[image] or ""), "", _choice(table.file, row.cells[choice], row.at)) for row in table.rows
    ]
    return _said(table.file, rows, references)


def _tasks(table: Table) -> Iterator[tuple[str, str, str, str | None]]:
    """Place, image, name of the file at its upload and choice; one for every annotation, or for the task if it has none."""
    of = {name: table.header.index(name) for name in table.header}
    for row in table.rows:
        data, annotations = row.cells[of["data"]], row.cells[of["annotations"]]
        upload = row.cells[of["file_upload"]] if "file_upload" in of else None
        values = data.values() if isinstance(data, dict) else ()
        images = [value for value in values if isinstance(value, str) and _is_image(value)]
        if len(images) != 1:
            raise Unreadable(table.file, f"has {count(len(images), 'image')} in {row.at}, where a task has one")
        made = [
            each
            for each in _list(table.file, annotations, row.at)
            if isinstance(each, dict) and not each.get("was_cancelled")
        ]
        for annotation in made:
            yield row.at, images[0], str(upload or ""), _chosen(table.file, annotation, row.at)
        if not made:
            yield row.at, images[0], str(upload or ""), None


def _chosen(file: str, annotation: dict[str, Any], at: str) -> str | None:
    choices: list[Any] = []
    for result in _list(file, annotation.get("result"), at):
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict) or not isinstance(value.get("choices"), list):
            raise Unreadable(file, f"has something else than a choice in {at}, such as a box")
        choices += value["choices"]
    return _only(file, choices, at)


def _list(file: str, value: object, at: str) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    raise Unreadable(file, f"has something else than a list of annotations in {at}")


def _choice(file: str, cell: object, at: str) -> str | None:
    """A cell with one choice; several stand in an object, which CSV writes as JSON."""
    if isinstance(cell, str) and cell.lstrip().startswith(("{", "[")):
        try:
            cell = json.loads(cell, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            return single_label(file, cell, at)
    if isinstance(cell, dict) and isinstance(cell.get("choices"), list):
        cell = cell["choices"]
    return _only(file, cell, at) if isinstance(cell, list) else single_label(file, cell, at)


def _only(file: str, choices: Sequence[object], at: str) -> str | None:
    if len(choices) > 1:
        shown = " and ".join(repr(str(choice)) for choice in choices)
        raise Unreadable(file, f"has {shown} in {at}: an image of several classes cannot be learned from here")
    return single_label(file, choices[0], at) if choices else None


def _skipped(table: Table) -> set[str]:
    """The classes that skipped annotations chose: they do not count, and their class must not be lost by that."""
    found: set[str | None] = set()
    for row in table.rows:
        for annotation in _list(table.file, row.cells[table.place("annotations")], row.at):
            if isinstance(annotation, dict) and annotation.get("was_cancelled"):
                for result in _list(table.file, annotation.get("result"), row.at):
                    value = result.get("value") if isinstance(result, dict) else None
                    choices = value.get("choices") if isinstance(value, dict) else None
                    found.update(map(as_label, choices if isinstance(choices, list) else ()))
    return {label for label in found if label is not None}


def _said(
    file: str,
    rows: Sequence[tuple[str, str, str, str | None]],
    references: References,
    skipped: Collection[str] = (),
) -> Said:
    statements = []
    for at, image, upload, label in rows:
        names = [base_name(image), base_name(upload)]
        names += [_PREFIX.sub("", name, count=1) for name in names if _PREFIX.match(name)]
        meant = next((found for name in names if name and (found := references.called(name))), ())
        statements.append(Statement(at, image, meant, label))
    _check_one_image_each(file, statements)
    notes = [f"{file!r} was read as Label Studio's export: images were found by their file names"]
    return Said(file, statements, notes, {each.label for each in statements if each.label is not None} | set(skipped))


def _check_one_image_each(file: str, statements: Sequence[Statement]) -> None:
    """Two images on the server that are one here had the same name there once: which of them it is cannot be told."""
    first: dict[int, Statement] = {}
    for statement in statements:
        for index in statement.meant:
            before = first.setdefault(index, statement)
            if before.written != statement.written:
                what = f"names {before.written!r} in {before.at} and {statement.written!r} in {statement.at}"
                raise Unreadable(file, f"{what}, for which there is one image file here")


def _is_image(written: str) -> bool:
    return is_picture(base_name(written))
