"""Labels beside class folders. Both must say the same; then the folders are taken, as they are where there are no labels.

The same may be said in other words: where numbers or other names stand one to one for the folders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.folders import class_folders, folder_reading
from noisegate.data.members import refuse

_REMEDY = "Leave the labels out; or put the images into one folder, if their folders are no classes."


@dataclass(frozen=True, slots=True)
class Labelled:
    """A label and where it stands: `line 3 of 'labels.csv'`."""

    label: str
    at: str


def class_folders_beside(contents: Contents, labels: Sequence[tuple[int, Labelled]]) -> Recognised | None:
    """What class folders say that agree with `labels`, each of an image by its index; None if there are none.

    Raises:
        InvalidArchive: an image's folder and label differ, or as `class_folders`.
    """
    found = folder_reading(contents.images)
    if not isinstance(found, Recognised) or len({image.class_name for image in found.images}) < 2:
        return None
    folder_of = {image.index: image.class_name for image in found.images}
    check_agreement(contents, folder_of, [(index, each) for index, each in labels if index in folder_of])
    return class_folders(contents)


def check_agreement(contents: Contents, folder_of: Mapping[int, str], labels: Sequence[tuple[int, Labelled]]) -> None:
    """Raises InvalidArchive for an image whose folder and label differ, unless labels stand one to one for folders."""
    if all(folder_of[index] == each.label for index, each in labels):
        return
    folders = set(folder_of.values())
    other_words = not any(each.label in folders for _, each in labels)
    to_folder: dict[str, str] = {}
    to_label: dict[str, str] = {}
    for index, each in labels:
        folder = folder_of[index]
        same = (
            to_folder.setdefault(each.label, folder) == folder and to_label.setdefault(folder, each.label) == each.label
        )
        if folder != each.label and not (other_words and same):
            what = f"is {each.label!r} by {each.at}, and lies in the folder {folder!r}"
            raise refuse(contents.images[index], what, _REMEDY)
