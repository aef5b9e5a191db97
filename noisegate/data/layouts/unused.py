"""Files that no layout used and that may hold a part of the data set, or say which part an image is of, or its class."""

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.parts import part_of_file
from noisegate.data.layouts.references import References
from noisegate.data.layouts.suffixes import suffix_of
from noisegate.data.layouts.words import each_of, listed
from noisegate.data.members import NamedSplit, refuse

# Archives and files of many images that are not read.
_HOLDS_MANY = each_of(
    "7z arrow bz2 feather gz h5 hdf5 lmdb mat mdb pickle pkl pt pth rar safetensors tar tfrecord tfrecords tgz txz xz zip zst"
)
_MAY_SAY_CLASSES = each_of("csv tsv json jsonl ndjson txt xls xlsx ods")
_LINES = 20


def check_no_part_lost(contents: Contents, recognised: Recognised) -> None:
    """Raises InvalidArchive for a file that cannot be read and is called as a part of which no image is here: `test.zip`."""
    there: set[NamedSplit | None] = {image.split for image in recognised.images}
    for file in contents.left_out:
        part = part_of_file(file.name) if suffix_of(file.name) in _HOLDS_MANY else None
        if part is not None and part not in there:
            what = f"is called as the {part} part, of which no image is here, and {file.why}"
            raise refuse(file.name, what, "Unpack it beside the others, or leave it out.")


def notes_on_lists(contents: Contents, used: Collection[str]) -> list[str]:
    """A sentence about lists of images that are called as parts and were not used, as Food-101's `meta/test.txt`."""
    lists = [
        name
        for name in contents.attachments
        if name not in used and suffix_of(name) == "txt" and part_of_file(PurePosixPath(name).name)
    ]
    if not lists:
        return []
    references = References(contents.images)
    found = [name for name in lists if any(map(references.find, _lines(contents.attachments[name])))]
    if not found:
        return []
    lists_images = "lists images and is" if len(found) == 1 else "list images and are"
    return [f"{listed(found)} {lists_images} called as parts, and such lists are not read: put parts into folders"]


def may_say_classes(contents: Contents, used: Collection[str]) -> list[str]:
    """Texts and sheets that were not used, in which the classes may stand."""
    names = [*contents.attachments, *(file.name for file in contents.left_out)]
    return [name for name in names if name not in used and suffix_of(name) in _MAY_SAY_CLASSES]


def _lines(content: bytes) -> Iterator[str]:
    yield from content[: 2**16].decode("utf-8", "replace").splitlines()[:_LINES]
