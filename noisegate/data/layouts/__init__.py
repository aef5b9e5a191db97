"""What the folders and tables of a data set mean. `LAYOUTS` are tried in their order; the first that fits is taken.

A layout is a function from `Contents` to `Recognised`, or to None where it does not fit at all. What fits but for a fault is
refused by it, in words that say what was taken for what.
"""

from collections.abc import Callable

from noisegate.api.reading import Validation
from noisegate.data.layouts.additions import check_additions, notes_on_classes
from noisegate.data.layouts.class_names import check_classes
from noisegate.data.layouts.contents import SPLITS, BaseClasses, Contents, Layout, Placed, Recognised, Split
from noisegate.data.layouts.fiftyone import fiftyone
from noisegate.data.layouts.folders import REMEDY, class_folders
from noisegate.data.layouts.given import given_labels
from noisegate.data.layouts.label_tables import label_tables
from noisegate.data.layouts.numbered import named
from noisegate.data.layouts.other_tasks import other_tasks
from noisegate.data.layouts.passed_over import check_any_image, check_any_label, notes_on_empty_folders
from noisegate.data.layouts.splitting import place
from noisegate.data.layouts.tiny_imagenet import tiny_imagenet
from noisegate.data.layouts.unused import check_no_part_lost, may_say_classes, notes_on_parts
from noisegate.data.layouts.webdataset import webdataset
from noisegate.data.members import LeftOut

__all__ = ["SPLITS", "BaseClasses", "Contents", "Layout", "Placed", "Recognised", "Split", "resolve_layout"]

LAYOUTS: tuple[Callable[[Contents], Recognised | None], ...] = (
    given_labels,
    webdataset,
    tiny_imagenet,
    fiftyone,
    label_tables,
    other_tasks,
    class_folders,
)


def resolve_layout(contents: Contents, validation: Validation = "auto", base: BaseClasses | None = None) -> Layout:
    """The layout of a data set.

    With a `base` the images are to be added to that one, and its classes are among those of the layout: a single class, and a
    single image, are enough then.

    Images are shuffled because a data set's file order is used as such later (PAPER.md, Subgroups), where sorting by
    class would be no order at all.

    Raises:
        InvalidArchive: no images; a layout of none of the known kinds; a folder that would be a class and has no image; a
            file that may be a part and cannot be read; fewer
            than two classes; a class name that is reserved or cannot be shown; a test class that is not in train, or a class
            too small to be split.
    """
    check_any_image(contents, REMEDY)
    recognised = named(contents, next(found for layout in LAYOUTS if (found := layout(contents)) is not None))
    if base is None:
        check_any_label(contents, recognised, REMEDY)
    check_no_part_lost(contents, recognised)
    placement = place(recognised.images, validation, base)
    classes = {image.class_name for image in placement.placed}
    additions = []
    if base is not None:
        check_additions(contents.images, placement.placed, base)
        additions = notes_on_classes(classes, base)
        classes |= base.classes
    alike = check_classes(classes, recognised.rename, may_say_classes(contents, recognised.used))
    ordered = sorted(placement.placed, key=lambda image: (image.split != "train", image.rank))
    left_out = (
        *contents.left_out,
        *recognised.left_out,
        *(LeftOut(contents.images[index], "is a validation image") for index in placement.left_out),
        *(LeftOut(name, "is text that was not used") for name in contents.attachments if name not in recognised.used),
    )
    notes = (
        *recognised.notes,
        *placement.notes,
        *additions,
        *alike,
        *notes_on_empty_folders(contents),
        *notes_on_parts(contents, recognised),
    )
    return Layout(tuple(sorted(classes)), tuple(ordered), recognised.layout, left_out, notes)
