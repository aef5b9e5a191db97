"""Lists that say what numbered classes are called."""

from collections.abc import Iterable, Sequence

from noisegate.data.layouts.text import Unreadable, as_label, decoded

# More are no number of a class, and thousands of them take Python long.
_MOST_DIGITS = 18


def listed_in(name: str, content: bytes) -> Sequence[str]:
    """The classes of a file with one a line; raises Unreadable if two are the same or one is empty."""
    return distinct(name, decoded(name, content).rstrip().splitlines())


def distinct(name: str, found: Iterable[object]) -> Sequence[str]:
    """The classes that a file lists; raises Unreadable if two are the same or one is empty: which is which is lost then."""
    classes: list[str] = []
    for number, each in enumerate(found):
        called = as_label(each)
        if called is None:
            raise Unreadable(name, f"has no name for class {number}")
        if called in classes:
            raise Unreadable(name, f"calls classes {classes.index(called)} and {number} both {called!r}")
        classes.append(called)
    return classes


def class_of(name: str, label: str, classes: Sequence[str], at: str) -> str:
    """The class that a number from 0, or a name of the list, means; raises Unreadable if it is neither, or may be either."""
    number = int(label) if label.isascii() and label.isdecimal() and len(label) <= _MOST_DIGITS else None
    by_number = classes[number] if number is not None and number < len(classes) else None
    by_name = label if label in classes else None
    if by_number and by_name and by_number != by_name:
        raise Unreadable(name, f"has {label!r} for {at}: class {by_number!r} by its number, or the one of that name")
    called = by_number or by_name
    if called is None:
        raise Unreadable(name, f"has {label!r} for {at}, which is none of the {len(classes)} classes that are named")
    return called
