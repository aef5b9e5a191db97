"""Which words a class may be called by, and names so alike that they may be one.

Names are never made one: `A` and `a` are two classes of letters. That they are alike is said, as it may be a slip.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Collection

from noisegate.class_names import NOISE_CLASS
from noisegate.data.layouts.words import listed
from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive

_MAX_CLASS_NAME_LENGTH = 100
_REMEDY = "Rename the folder, or the class in its table."


def is_class_name(name: str) -> bool:
    """Whether it can be shown."""
    return name.isprintable() and name == name.strip() and 0 < len(name) <= _MAX_CLASS_NAME_LENGTH


def check_classes(classes: Collection[str]) -> list[str]:
    """Sentences about names that are alike.

    Raises:
        InvalidArchive: a name that cannot be shown or is reserved, or fewer than two classes.
    """
    for name in sorted(classes):
        if not is_class_name(name):
            what = f"is no class name: 1 to {_MAX_CLASS_NAME_LENGTH} printable characters, no blanks around them"
            raise refuse(name, what, _REMEDY)
        if name.casefold() == NOISE_CLASS:
            raise refuse(name, "is reserved for the class that noise images are trained as", _REMEDY)
    if len(classes) < 2:
        (name,) = classes
        raise InvalidArchive(
            f"the archive has one class only, {name!r}", field="archive", remedy="A classifier needs two or more."
        )
    alike = defaultdict(set)
    for name in classes:
        alike[plain(name)].add(name)
    return [
        f"the classes {listed(names)} differ only in capitals, blanks or forms of a letter, and were kept apart"
        for _, names in sorted(alike.items())
        if len(names) > 1
    ]


def plain(name: str) -> str:
    """A name without what eyes pass over: capitals, runs of blanks, ligatures and wide forms."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
