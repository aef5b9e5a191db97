"""Data sets for object detection and segmentation, which say no single class of an image: refused in words that say so.

Recognised by YOLO's texts of boxes, COCO's and LabelMe's JSON, Pascal VOC's XML, and folders of images beside folders of masks.
"""

import re
from collections.abc import Iterator

from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.folders import folder_reading
from noisegate.data.layouts.suffixes import suffix_of, without_suffix
from noisegate.data.layouts.words import each_of, listed
from noisegate.data.members import refuse

# A class and a box or a polygon, in fractions of the image.
_BOX = re.compile(rb"\s*[0-9]+(\s+-?[0-9]*\.?[0-9]+){4,}\s*(\r?\n|$)")
_COCO = (b'"images"', b'"annotations"', b'"categories"')
_LABELME = (b'"shapes"', b'"imagePath"')
_PICTURES = each_of("images image imgs img photos pictures jpegimages rgb input inputs")
_MASKS = each_of(
    "masks mask labels label annotations annotation segmentations segmentation segmentationclass segmentationobject "
    "gt groundtruth ground_truth trimaps trimap mattes depth"
)
_DETECTION = (
    "Export it for classification (Roboflow: Folder Structure), or cut the boxes out and put them into class folders."
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
    if words & _PICTURES and words & _MASKS and words <= _PICTURES | _MASKS:
        what = (
            f"in {listed(classes)} are images and their masks, as in data sets for segmentation: no folder is a class"
        )
        raise refuse(contents.images[0], what, _SEGMENTATION)
    if len(classes) > 1:
        return
    for name, kind in _with_boxes(contents):
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
            yield name, "as COCO writes them"
        elif suffix_of(name) == "json" and of_image and all(word in content for word in _LABELME):
            yield name, "as LabelMe writes them"
    for file in contents.left_out:
        if suffix_of(file.name) == "xml" and _stem(file.name) in stems:
            yield file.name, "as Pascal VOC writes them"


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]
