"""Lists that say what numbered classes are called."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from noisegate.data.layouts.class_names import as_number, is_class_name
from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.text import Unreadable, as_label, decoded
from noisegate.data.layouts.words import each_of

_LISTS = each_of("classes.txt class_names.txt classnames.txt label_names.txt labels.txt names.txt")

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


def named(contents: Contents, recognised: Recognised) -> Recognised:
    """The same with the names of a list beside the images, `classes.txt` for one, where the classes are the numbers of its lines.

    They are if they are 0, 1, 2, … to the last line, and no line is a number itself; two lists that differ say nothing.
    """
    numbers = {image.class_name for image in recognised.images}
    if numbers != set(map(str, range(len(numbers)))):
        return recognised
    lists = {name: _lines(name, content) for name, content in contents.attachments.items() if _is_list(name)}
    fitting = {
        name: names
        for name, names in lists.items()
        if len(names) == len(numbers) == len(set(names)) and all(map(_is_name, names)) and name not in recognised.used
    }
    if len({tuple(names) for names in fitting.values()}) != 1:
        return recognised
    (file, names), *_ = sorted(fitting.items())
    images = [image._replace(class_name=names[int(image.class_name)]) for image in recognised.images]
    notes = [*recognised.notes, f"the numbers of classes are explained by {file!r}, from 0"]
    rename = f"Write another name for it in {file!r}."
    return replace(recognised, images=images, notes=notes, used=[*recognised.used, *fitting], rename=rename)


def _is_list(name: str) -> bool:
    return name.rpartition("/")[2].lower() in _LISTS


def _lines(name: str, content: bytes) -> Sequence[str]:
    try:
        return decoded(name, content).strip().splitlines()
    except Unreadable:
        return []


def _is_name(line: str) -> bool:
    return is_class_name(line) and as_number(line) is None
