"""A folder of images to train on: what the service will make of it, found out before gigabytes are sent.

The layouts are the service's own (noisegate.data.layouts). Loading them takes a moment that other commands are spared.
"""

from collections.abc import Iterator
from pathlib import Path

from noisegate.api.reading import Validation
from noisegate.client.errors import UnusableFile
from noisegate.client.files import read_file
from noisegate.client.walking import FoundImages, Walked, walk
from noisegate.data.layouts import Contents, Layout, resolve_layout
from noisegate.data.members import LeftOut
from noisegate.data.names import kept_path
from noisegate.errors import InvalidArchive
from noisegate.image_kinds import IMAGE_KINDS


def find_images(folder: Path, validation: Validation = "auto", *, has_base: bool = False) -> FoundImages:
    """The images of a folder, and which are of which class.

    Args:
        has_base: they are to be added to a dataset, which the service knows: a single class, or a single image, may be enough.

    Raises:
        UnusableFile: no such folder, nothing to train on in it, or something that would not become what it looks like:
            an empty folder, an image outside the layout, a file that cannot be read, a link that leads nowhere or back.
    """
    walked = walk(folder)
    for _, problem in walked.problems:
        raise problem
    _check_names(walked)
    _check_no_empty_folder(folder, walked)
    if has_base or any(file.kind == "many" for file in walked.files):
        return FoundImages(folder, walked.files, None, (), walked.left_out, walked.hidden)
    layout = _layout(folder, walked, validation)
    left_out = {one.name: one.why for one in layout.left_out}
    return FoundImages(folder, walked.files, _counts(layout), layout.notes, left_out, walked.hidden)


def _layout(folder: Path, walked: Walked, validation: Validation) -> Layout:
    images = [file.member for file in walked.files if file.kind == "image"]
    texts = {file.member: read_file(file.path) for file in walked.files if file.kind == "text"}
    left_out = [LeftOut(name, why) for name, why in sorted(walked.left_out.items())]
    try:
        return resolve_layout(Contents(images, [None] * len(images), texts, left_out), validation)
    except InvalidArchive as error:
        detail = error.detail.replace("the archive", "the folder")
        raise UnusableFile(f"{folder}: {detail}. {error.remedy}") from error


def _check_names(walked: Walked) -> None:
    for before, file in zip([None, *walked.files], walked.files, strict=False):
        try:
            file.member.encode()
            kept_path(file.member)
        except UnicodeEncodeError as error:
            raise UnusableFile(f"{file.member!r} is called by bytes that are not UTF-8. Rename it.") from error
        except InvalidArchive as error:
            raise UnusableFile(f"{error.detail}. Rename it.") from error
        if before and before.member == file.member:
            raise UnusableFile(
                f"{file.path} is called as another file is, but for the spelling of its accents. Rename one."
            )


def _check_no_empty_folder(folder: Path, walked: Walked) -> None:
    names = [*(file.member for file in walked.files), *walked.left_out]
    filled = {parent for name in names for parent in _parents(name)}
    empty = [name for name in walked.folders if name not in filled]
    if empty:
        more = f", nor do {len(empty) - 1:,} other folders" if empty[1:] else ""
        remedy = "Add images, or take the folder out."
        raise UnusableFile(f"{folder / empty[0]} holds no {IMAGE_KINDS} files{more}. {remedy}")


def _parents(member: str) -> Iterator[str]:
    at = member.find("/")
    while at > 0:
        yield member[:at]
        at = member.find("/", at + 1)


def _counts(layout: Layout) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    for image in layout.images:
        of_split = counts[image.split]
        of_split[image.class_name] = of_split.get(image.class_name, 0) + 1
    return counts
