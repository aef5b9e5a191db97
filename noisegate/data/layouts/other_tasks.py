"""Data sets for object detection and segmentation, which say no single class of an image: refused in words that say so.

Recognised by YOLO's texts of boxes, COCO's and LabelMe's JSON, Pascal VOC's XML, and folders of images beside folders of masks.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import product

from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.folders import folder_reading
from noisegate.data.layouts.no_class import masked_name
from noisegate.data.layouts.suffixes import suffix_of, without_suffix
from noisegate.data.layouts.words import each_of, listed
from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive

# A class and a box or a polygon, in fractions of the image.
_BOX = re.compile(rb"\s*[0-9]+(\s+-?[0-9]*\.?[0-9]+){4,}\s*(\r?\n|$)")
_COCO = (b'"images"', b'"annotations"', b'"categories"')
# In none of the annotations, where only classes are said.
_OUTLINES = (b'"bbox"', b'"segmentation"', b'"keypoints"')
_LABELME = (b'"shapes"', b'"imagePath"')
_PICTURES = each_of("images image imgs img photos pictures jpegimages rgb input inputs")
_MASKS = each_of(
    "masks mask labels label annotations annotation segmentations segmentation segmentationclass segmentationobject "
    "gt groundtruth ground_truth trimaps trimap mattes depth"
)
_DETECTION = (
    "Export it for classification (Roboflow: Folder Structure), or cut the boxes out and put them into class folders."
)
_NO_BOXES = "annotations without boxes, in COCO's form"
_TABLE = (
    "Write a table with the columns file and label, a row for each image; or arrange the images as <class>/<image>."
)
_SEGMENTATION = "Leave the masks out, and arrange the images as <class>/<image> or add a table of their classes."


def other_tasks(contents: Contents) -> None:
    """Nothing, where folders may say classes.

    Raises:
        InvalidArchive: boxes or masks beside the images, and no two class folders.
    """
    found = folder_reading(contents.images)
    classes = {image.class_name for image in found.images} if isinstance(found, Recognised) else set()
    words = {name.lower() for name in classes}
    if isinstance(found, InvalidArchive) and (both := _pictures_and_masks(contents.images)):
        what = f"lies beside {both[1]!r}: images and their masks, as in data sets for segmentation, whose folders are no classes"
        raise refuse(both[0], what, _SEGMENTATION)
    if isinstance(found, Recognised):
        _check_no_masks(contents, found, classes)
    if words & _PICTURES and words & _MASKS and words <= _PICTURES | _MASKS:
        what = (
            f"in {listed(classes)} are images and their masks, as in data sets for segmentation: no folder is a class"
        )
        raise refuse(contents.images[0], what, _SEGMENTATION)
    if len(classes) > 1:
        return
    for name, kind in _with_boxes(contents):
        if kind == _NO_BOXES:
            raise refuse(name, f"holds {kind}, which is not read", _TABLE)
        what = (
            f"holds boxes or outlines ({kind}), as data sets for object detection do: no one class is said of an image"
        )
        raise refuse(name, what, _DETECTION)


def _with_boxes(contents: Contents) -> Iterator[tuple[str, str]]:
    stems = {without_suffix(path.rpartition("/")[2]) for path in contents.images}
    for name, content in sorted(contents.attachments.items()):
        of_image = _stem(name) in stems
        if suffix_of(name) == "txt" and of_image and _BOX.match(content):
            yield name, "as YOLO writes them"
        elif suffix_of(name) == "json" and all(word in content for word in _COCO):
            yield name, "as COCO writes them" if any(word in content for word in _OUTLINES) else _NO_BOXES
        elif suffix_of(name) == "json" and of_image and all(word in content for word in _LABELME):
            yield name, "as LabelMe writes them"
    for file in contents.left_out:
        if suffix_of(file.name) == "xml" and _stem(file.name) in stems:
            yield file.name, "as Pascal VOC writes them"


def _pictures_and_masks(paths: Sequence[str]) -> tuple[str, str] | None:
    """Two folders in one, of images and of masks, that hold files of the same names; None if there are none."""
    stems_in: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in paths:
        *folders, file = path.split("/")
        for depth, folder in enumerate(folders):
            if folder.lower() in _PICTURES | _MASKS:
                stems_in["/".join([*folders[:depth], ""])][folder].add(without_suffix(file))
    for above, stems in sorted(stems_in.items()):
        for pictures, masks in product(sorted(stems), sorted(stems)):
            are_both = pictures.lower() in _PICTURES and masks.lower() in _MASKS
            if are_both and _are_of(stems[masks], stems[pictures]):
                return above + pictures, above + masks
    return None


def _check_no_masks(contents: Contents, found: Recognised, classes: Collection[str]) -> None:
    """Raises InvalidArchive where a class folder holds masks of the images in another: `benign_masks` beside `benign`."""
    of_masks = {name: of for name in classes if (of := masked_name(name)) in classes}
    stems: dict[str, set[str]] = defaultdict(set)
    for image in found.images if of_masks else ():
        stems[image.class_name].add(without_suffix(contents.images[image.index].rpartition("/")[2]))
    for name, of in sorted(of_masks.items()):
        if _are_of(stems[name], stems[of or ""]):
            what = f"holds masks of the images in {of!r}, by their names: it is no class"
            raise refuse(name, what, _SEGMENTATION)


def _are_of(masks: Collection[str], images: Collection[str]) -> bool:
    """Whether every mask is called as an image is, with a word for masks or without."""
    return all(name in images or masked_name(name) in images for name in masks)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]
