"""Which words a class may be called by, and names so alike that they may be one.

Names are never made one: `A` and `a` are two classes of letters. That they are alike is said, as it may be a slip.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection
from decimal import Decimal

from noisegate.class_names import NOISE_CLASS
from noisegate.data.layouts.no_class import says_no_label
from noisegate.data.layouts.words import listed, were
from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive

_MAX_CLASS_NAME_LENGTH = 100
_NUMBER = re.compile(r"[+-]?([0-9]{1,99}\.?[0-9]{0,99}|\.[0-9]{1,99})([eE][+-]?[0-9]{1,2})?")

_BETWEEN = re.compile(r"\s*[|,;+&]\s*|\s+")
# What several names in one cell stand between; blanks, + and & are in names of one class too.
_BETWEEN_LABELS = re.compile(r"\s*[|,;]\s*")


def is_class_name(name: str) -> bool:
    """Whether it can be shown."""
    return name.isprintable() and name == name.strip() and 0 < len(name) <= _MAX_CLASS_NAME_LENGTH


def as_number(name: str) -> Decimal | None:
    """The number that a name writes, so that `1`, `01`, `1.0` and `1e0` are one; None for words."""
    return Decimal(name) if name.isascii() and _NUMBER.fullmatch(name) else None


def check_classes(classes: Collection[str], rename: str, unused: Collection[str] = ()) -> list[str]:
    """Sentences about names that are alike.

    Args:
        rename: the remedy for a name that no class may have.
        unused: files that may have been meant to say the classes.

    Raises:
        InvalidArchive: a name that cannot be shown or is reserved, fewer than two classes, or one number written in two ways.
    """
    for name in sorted(classes):
        if not is_class_name(name):
            what = f"is no class name: 1 to {_MAX_CLASS_NAME_LENGTH} printable characters, no blanks around them"
            raise refuse(name, what, rename)
        if name.casefold() == NOISE_CLASS:
            raise refuse(name, "is reserved for the class that noise images are trained as", rename)
    if len(classes) < 2:
        (name,) = classes
        detail = f"the archive has one class only, {name!r}"
        remedy = "A classifier needs two or more."
        if unused:
            detail += f" (nothing was read of {listed(unused)})"
            remedy += " If such a file says the classes, send it as CSV with the columns file and label."
        raise InvalidArchive(detail, field="archive", remedy=remedy)
    _check_numbers(classes)
    return [
        *_notes_on_doubtful(classes),
        *(
            f"the classes {listed(names)} differ only in capitals, blanks or forms of a letter, and were kept apart"
            for _, names in sorted(_alike(classes).items())
            if len(names) > 1
        ),
    ]


def _alike(classes: Collection[str]) -> dict[str, set[str]]:
    alike = defaultdict(set)
    for name in classes:
        alike[plain(name)].add(name)
    return alike


def _notes_on_doubtful(classes: Collection[str]) -> list[str]:
    """Sentences about names that may stand for several classes, or for none."""
    known = set(classes)
    notes = []
    joined = {name for name in classes if len(pieces := _pieces(name)) > 1 and pieces <= known}
    if joined:
        join = "joins" if len(joined) == 1 else "join"
        notes.append(f"{listed(joined)} {join} names of other classes, and {were(len(joined))} kept apart")
    if doubtful := {name for name in classes if _may_be_several(name)} - joined:
        as_one = "kept as one class" if len(doubtful) == 1 else "kept as one class each"
        notes.append(f"{listed(doubtful)} may join several names, and {were(len(doubtful))} {as_one}")
    if unlabelled := [name for name in classes if says_no_label(name)]:
        notes.append(
            f"{listed(unlabelled)} {were(len(unlabelled))} kept as a class, and may say that an image has none"
        )
    numbers = {name: as_number(name) for name in classes}
    negative = [name for name, number in numbers.items() if number is not None and number < 0]
    if negative and None not in numbers.values():
        notes.append(f"{listed(negative)} {were(len(negative))} kept as a class, and may say that an image has none")
    return notes


def _pieces(name: str) -> set[str]:
    """The names in a label of several, such as `cat|dog` and `cat, dog`."""
    return set(_BETWEEN.split(name))


def _may_be_several(name: str) -> bool:
    """Whether it is written as a list of names, whether these are classes or not: `red,green`."""
    return len(list(filter(None, _BETWEEN_LABELS.split(name)))) > 1


def _check_numbers(classes: Collection[str]) -> None:
    first: dict[Decimal, str] = {}
    for name in sorted(classes):
        number = as_number(name)
        if number is not None and first.setdefault(number, name) != name:
            what = f"and {first[number]!r} are one number in two spellings, and would be two classes"
            remedy = "Write it in one way in all tables and folders; or give the classes names that are no numbers."
            raise refuse(name, what, remedy)


def plain(name: str) -> str:
    """A name without what eyes pass over: capitals, runs of blanks, ligatures and wide forms."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
