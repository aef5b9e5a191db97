"""What the folders and tables of a data set mean. `LAYOUTS` are tried in their order; the first that fits is taken.

A layout is a function from `Contents` to `Recognised`, or to None where it does not fit at all. What fits but for a fault is
refused by it, in words that say what was taken for what.
"""

from collections.abc import Callable

from noisegate.data.layouts.contents import SPLITS, Contents, Layout, Placed, Recognised, Split
from noisegate.data.layouts.folders import class_folders
from noisegate.data.layouts.given import given_labels
from noisegate.data.layouts.splitting import place
from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive
from noisegate.spec import NOISE_CLASS
from noisegate.spec.reading import Validation

__all__ = ["SPLITS", "Contents", "Layout", "Placed", "Recognised", "Split", "resolve_layout"]

LAYOUTS: tuple[Callable[[Contents], Recognised | None], ...] = (given_labels, class_folders)

_MAX_CLASS_NAME_LENGTH = 100


def resolve_layout(contents: Contents, validation: Validation = "auto") -> Layout:
    """The layout of a data set.

    Images are shuffled because a data set's file order is used as such later (PAPER.md, Subgroups), where sorting by
    class would be no order at all.

    Raises:
        InvalidArchive: no images; a layout of none of the known kinds; a folder that would be a class and has no image; fewer
            than two classes; a class name that is reserved or cannot be shown; a test class that is not in train, or a class
            too small to be split.
    """
    recognised = next(found for layout in LAYOUTS if (found := layout(contents)) is not None)
    placed, notes = place(recognised.images, validation)
    _check_classes({image.class_name for image in placed})
    ordered = sorted(placed, key=lambda image: (image.split != "train", image.rank))
    classes = tuple(sorted({image.class_name for image in placed}))
    left_out = (*contents.left_out, *recognised.left_out)
    return Layout(classes, tuple(ordered), recognised.layout, left_out, (*recognised.notes, *notes))


def _check_classes(classes: set[str]) -> None:
    for name in sorted(classes):
        if not name.isprintable() or name != name.strip() or not 0 < len(name) <= _MAX_CLASS_NAME_LENGTH:
            what = f"is no class name: 1 to {_MAX_CLASS_NAME_LENGTH} printable characters, no blanks around them"
            raise refuse(name, what, "Rename the folder.")
        if name.casefold() == NOISE_CLASS:
            raise refuse(name, "is reserved for the class that noise images are trained as", "Rename the folder.")
    if len(classes) < 2:
        (name,) = classes
        raise InvalidArchive(
            f"the archive has one class only, {name!r}", field="archive", remedy="A classifier needs two or more."
        )
