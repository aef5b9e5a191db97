"""Versions of a data set with other labels: a table names images of the base, and what each is or that it is none."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from noisegate.data.bases import Base
from noisegate.data.layouts import Layout
from noisegate.data.layouts.tables import Row, Table, read_table
from noisegate.data.members import LeftOut
from noisegate.errors import InvalidArchive

LABELS_TABLE = "labels.csv"
LEFT_OUT = "is left out by the labels"

_ID, _NAME, _LABEL = "image", "name", "label"
_LISTED = 20
_REMEDY = (
    "Give a row an image: `image` (its id, as GET /experiments/{id}/samples has it) or `name` (its path), and `label`."
)


def read_labels(content: bytes, base: Base) -> dict[int, str]:
    """The label of each image that the table names, by its place in the base; empty for one that is left out.

    Args:
        content: CSV with the columns `image` (a place among the training images) or `name` (a path), and `label`. Other columns say
            nothing, so that a table of samples can be sent as it came, with other labels.

    Raises:
        InvalidArchive: it is no such table, names an image or a class that the base does not have, or an image twice.
    """
    table = read_table(LABELS_TABLE, content)
    assert table is not None, "of this name it is one, or it is refused"
    places, labels = dict[int, str](), set(base.classes)
    for row, place in zip(table.rows, _places(table, base), strict=True):
        label = row.cells[table.place(_LABEL)].strip()
        if label and label not in labels:
            known = ", ".join(list(base.classes)[:_LISTED])
            remedy = f"The base's classes: {known}. A new class comes with images of its own, as an archive."
            raise _refused(row, f"says {label!r}, which is no class of the base {base.name!r}", remedy)
        if places.get(place, label) != label:
            raise _refused(row, "names an image for the second time, with another label", "Name each image once.")
        places[place] = label
    return places


def relabelled(base: Base, labels: Mapping[int, str]) -> Layout:
    """The base's images with these labels, without those whose label is empty. Their indices are their places in the base.

    Raises:
        InvalidArchive: nothing changes, or a class is left without training images.
    """
    placed = [image._replace(class_name=labels.get(image.index, image.class_name)) for image in base.placed()]
    kept = sorted(
        (image for image in placed if image.class_name), key=lambda image: (image.split != "train", image.rank)
    )
    changed = sum(base.class_of(place) != label for place, label in labels.items() if label)
    left_out = tuple(LeftOut(base.originals.name(place), LEFT_OUT) for place, label in labels.items() if not label)
    if not changed and not left_out:
        detail = f"all {len(labels):,} labels are those of the base {base.name!r} already"
        raise InvalidArchive(detail, field="archive", remedy="Change the labels that are wrong.")
    _check_classes(base, Counter(image.class_name for image in kept if image.split == "train"))
    notes = (f"the images of {base.name!r}; {changed:,} have another label, {len(left_out):,} are left out",)
    return Layout(tuple(base.classes), tuple(kept), "labels for a base", left_out, notes)


def _check_classes(base: Base, trained: Mapping[str, int]) -> None:
    emptied = [name for name in base.known_classes.trained if name not in trained]
    if emptied:
        detail = f"class {sorted(emptied)[0]!r} would have no training image left"
        raise InvalidArchive(detail, field="archive", remedy="A class can go with an upload without it, not by labels.")


def _places(table: Table, base: Base) -> Iterator[int]:
    missing = [name for name in (_LABEL,) if name not in table.header]
    by_id = _ID in table.header
    if missing or not (by_id or _NAME in table.header):
        found = ", ".join(table.header) or "none"
        raise InvalidArchive(f"the table has the columns {found}", field="archive", remedy=_REMEDY)
    named = {} if by_id else _by_name(base)
    for row in table.rows:
        told = row.cells[table.place(_ID if by_id else _NAME)].strip()
        if by_id:
            if not told.isdecimal() or int(told) >= base.train_count:
                what = f"names {told!r}, and the training images of the base {base.name!r} have ids below {base.train_count:,}"
                raise _refused(row, what, _REMEDY)
            yield int(told)
        else:
            if len(found_at := named.get(told, ())) != 1:
                how = "names an image that the base has not" if not found_at else "names several images of the base"
                raise _refused(row, f"{how}: {told!r}", _REMEDY)
            yield found_at[0]


def _by_name(base: Base) -> Mapping[str, Sequence[int]]:
    found: dict[str, list[int]] = {}
    for place in range(len(base)):
        found.setdefault(base.originals.name(place), []).append(place)
    return found


def _refused(row: Row, what: str, remedy: str) -> InvalidArchive:
    return InvalidArchive(f"{row.at} {what}", field="archive", remedy=remedy)
