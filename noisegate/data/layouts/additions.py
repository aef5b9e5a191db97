"""What a layout must not leave open, and what it tells, where its images are added to those of another data set."""

from collections.abc import Sequence, Set

from noisegate.data.layouts.contents import BaseClasses, Placed
from noisegate.data.layouts.parts import part_called
from noisegate.data.layouts.words import listed
from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive


def check_additions(paths: Sequence[str], placed: Sequence[Placed], base: BaseClasses) -> None:
    """Refuse an image below a folder that is called as a class of the base, and taken for another class.

    An upload may hold a single class. Of `cat/indoor/1.png` alone the outer folder is one that all images share, and so no class.

    Raises:
        InvalidArchive: there is one, or there is no image to add.
    """
    if not placed:
        detail = f"the archive has no image with a class, to be added to the base {base.name!r}"
        raise InvalidArchive(
            detail,
            field="archive",
            remedy="Add images in folders that name their classes, or let validation images in.",
        )
    for image in placed:
        path = paths[image.index]
        for folder in path.split("/")[:-1]:
            if folder in base.classes and folder != image.class_name and part_called(folder) is None:
                what = (
                    f"was taken for {image.class_name!r}, and lies below {folder!r}, a class of the base {base.name!r}"
                )
                raise refuse(path, what, "Arrange the images as <class>/<image>, and leave all other folders out.")


def notes_on_classes(classes: Set[str], base: BaseClasses) -> list[str]:
    """A sentence on the classes that the base does not have."""
    new = classes - base.classes
    if not new:
        return []
    return [
        f"{listed(new)} {'is a new class' if len(new) == 1 else 'are new classes'}: {base.name!r} has none called so"
    ]
