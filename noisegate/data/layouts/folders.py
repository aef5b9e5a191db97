"""Class folders, each also below one common folder (`mydata/train/cat/1.png`):

train/<class>/<image> and test/<class>/<image>      taken as they are
train/<class>/<image>                               split into train and test
<class>/<image>                                     split into train and test
"""

from collections.abc import Sequence

from noisegate.data.layouts.contents import SPLITS, Assigned, Contents, Recognised
from noisegate.data.members import NamedSplit, refuse
from noisegate.errors import InvalidArchive

_REMEDY = "Arrange the images as train/<class>/<image> and test/<class>/<image>, or as <class>/<image>."


def class_folders(contents: Contents) -> Recognised:
    """Every image with the class that its folder names, and the part if a folder says it.

    Raises:
        InvalidArchive: no images, or folders of none of the three layouts.
    """
    if not contents.images:
        raise InvalidArchive("the archive holds no images", field="archive", remedy=_REMEDY)
    parts = [path.split("/") for path in contents.images]
    first = parts[0][0]
    if first not in SPLITS and all(part[0] == first and len(part) > 2 for part in parts):
        parts = [part[1:] for part in parts]
    has_split_folders = any(part[0] in SPLITS for part in parts)
    _check_depth(contents.images, parts, has_split_folders)
    images = [
        Assigned(index, part[-2], _split(part[0]) if has_split_folders else None, part[-1])
        for index, part in enumerate(parts)
    ]
    return Recognised("class folders", images)


def _check_depth(paths: Sequence[str], parts: Sequence[Sequence[str]], has_split_folders: bool) -> None:
    depth = 3 if has_split_folders else 2
    for path, part in zip(paths, parts, strict=True):
        if len(part) != depth or (has_split_folders and part[0] not in SPLITS):
            raise refuse(path, "lies outside the layout of the other images", _REMEDY)


def _split(folder: str) -> NamedSplit:
    return "test" if folder == "test" else "train"
