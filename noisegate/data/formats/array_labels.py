"""Arrays of labels to class names."""

from collections.abc import Sequence

from noisegate.data.formats.npy import NpyFile
from noisegate.data.members import refuse

# In NumPy's four bytes a character; a class name may have a hundred.
_MOST_TEXT_BYTES = 1024


def check_labels(labels: NpyFile, images: NpyFile) -> None:
    """Whether there is one label for each image, as far as the headers say it.

    Raises:
        InvalidArchive: there is not, or labels are neither whole numbers nor text.
    """
    count, *more = labels.shape
    if more not in ([], [1]):
        what = f"is {labels.shape}: several labels an image"
        remedy = "A classifier here has one class an image. If each row has a single 1, save labels.argmax(axis=1)."
        raise refuse(labels.name, what, remedy)
    if labels.dtype.kind not in "iuU" or labels.dtype.itemsize > _MOST_TEXT_BYTES:
        what = f"is of type {labels.dtype}: labels are whole numbers or short texts"
        raise refuse(labels.name, what, "Save labels.astype('int64') if these are whole numbers.")
    if count != images.shape[0]:
        what = f"has {count:,} labels for the {images.shape[0]:,} images of {images.name!r}"
        raise refuse(labels.name, what, "Save both anew, a label for each image.")


def check_alike(labels: Sequence[NpyFile]) -> None:
    """Whether all parts name their classes in the same way.

    Raises:
        InvalidArchive: some have numbers, some texts.
    """
    texts = [array for array in labels if array.dtype.kind == "U"]
    numbers = [array for array in labels if array.dtype.kind != "U"]
    if texts and numbers:
        what = f"holds texts, and {numbers[0].name!r} holds numbers: which belong together is not said"
        raise refuse(texts[0].name, what, "Save the same labels for all parts.")


def class_names(labels: NpyFile) -> list[str]:
    """The class of every image; a number's name is the number.

    Raises:
        InvalidArchive: negative numbers.
    """
    values = labels.read().reshape(-1)
    if values.dtype.kind != "U" and (values < 0).any():
        what = f"has the label {values.min()}: whether that is a class or says that there is none is not known"
        raise refuse(labels.name, what, "Leave those images out, or count the classes from 0.")
    return [str(value) for value in values.tolist()]
