"""Images whose format says what they are, as rows of a table or of an array do: no path is asked."""

import unicodedata
from collections.abc import Collection

from noisegate.data.layouts.contents import Assigned, Contents, Recognised
from noisegate.data.members import Label, refuse

# Texts that formats read (noisegate.data.formats.cifar), which must not be called of no use.
_NAMES_OF_CLASSES = {"batches.meta.txt", "fine_label_names.txt"}


def given_labels(contents: Contents) -> Recognised | None:
    """What the formats say; None if the images came as files.

    Raises:
        InvalidArchive: some say it and others do not; a class of which every image was left out.
    """
    if not any(contents.labels):
        return None
    images = []
    for index, (name, label) in enumerate(zip(contents.images, contents.labels, strict=True)):
        if label is None:
            what = "is an image file beside files that hold images with their labels"
            raise refuse(name, what, "Send the one or the other.")
        images.append(Assigned(index, _class_of(label), label.split, name))
    _check_no_class_lost(contents, {image.class_name for image in images})
    used = [name for name in contents.attachments if name.rpartition("/")[2] in _NAMES_OF_CLASSES]
    rename = "Write another name for it where that file has its labels, or leave those images out."
    return Recognised("labels given by the files that hold the images", images, used=used, rename=rename)


def _class_of(label: Label) -> str:
    return unicodedata.normalize("NFC", label.class_name)


def _check_no_class_lost(contents: Contents, classes: Collection[str]) -> None:
    for file in contents.left_out:
        if file.label is not None and (lost := _class_of(file.label)) not in classes:
            what = f"{file.why}, and nothing is left of the class {lost!r}"
            raise refuse(file.name, what, "Send intact images of that class, or leave its rows out.")
