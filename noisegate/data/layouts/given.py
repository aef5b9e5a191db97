"""Images whose format says what they are, as rows of a table or of an array do: no path is asked."""

import unicodedata

from noisegate.data.layouts.contents import Assigned, Contents, Recognised
from noisegate.data.members import refuse

# Texts that formats read (noisegate.data.formats.cifar), which must not be called of no use.
_NAMES_OF_CLASSES = {"batches.meta.txt", "fine_label_names.txt"}


def given_labels(contents: Contents) -> Recognised | None:
    """What the formats say; None if the images came as files.

    Raises:
        InvalidArchive: some say it and others do not.
    """
    if not any(contents.labels):
        return None
    images = []
    for index, (name, label) in enumerate(zip(contents.images, contents.labels, strict=True)):
        if label is None:
            what = "is an image file beside files that hold images with their labels"
            raise refuse(name, what, "Send the one or the other.")
        images.append(Assigned(index, unicodedata.normalize("NFC", label.class_name), label.split, name))
    used = [name for name in contents.attachments if name.rpartition("/")[2] in _NAMES_OF_CLASSES]
    rename = "Write another name for it where that file has its labels, or leave those images out."
    return Recognised("labels given by the files that hold the images", images, used=used, rename=rename)
