"""Files that no layout used and that may hold a part of the data set, or say which part an image is of, or its class."""

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.part_columns import says_parts
from noisegate.data.layouts.parts import part_of_file
from noisegate.data.layouts.references import References
from noisegate.data.layouts.suffixes import suffix_of
from noisegate.data.layouts.tables import read_table
from noisegate.data.layouts.text import as_label
from noisegate.data.layouts.words import each_of, listed, words_in
from noisegate.data.members import NamedSplit, refuse
from noisegate.errors import InvalidArchive

# Archives and files of many images that are not read.
_HOLDS_MANY = each_of(
    "7z arrow bz2 feather gz h5 hdf5 lmdb mat mdb pickle pkl pt pth rar safetensors tar tfrecord tfrecords tgz txz xz zip zst"
)
_MAY_SAY_CLASSES = each_of("csv tsv json jsonl ndjson txt xls xlsx ods")
_OF_SPLITS = each_of("split splits fold folds partition partitions")
_LINES = 20


def check_no_part_lost(contents: Contents, recognised: Recognised) -> None:
    """Raises InvalidArchive for a file that cannot be read and is called as a part of which no image is here: `test.zip`."""
    there: set[NamedSplit | None] = {image.split for image in recognised.images}
    for file in contents.left_out:
        part = part_of_file(file.name) if suffix_of(file.name) in _HOLDS_MANY else None
        if part is not None and part not in there:
            what = f"is called as the {part} part, of which no image is here, and {file.why}"
            raise refuse(file.name, what, "Unpack it beside the others, or leave it out.")


def notes_on_parts(contents: Contents, recognised: Recognised) -> list[str]:
    """Sentences about texts that were not used and may say which part an image is of, where nothing else says it.

    Lists that are called as parts, as Food-101's `meta/test.txt`; tables with a column of parts and none of classes; files that
    are called so, as CUB-200's `train_test_split.txt`.
    """
    if all(image.split for image in recognised.images):
        return []
    unused = [name for name in contents.attachments if name not in recognised.used]
    lists = [name for name in unused if suffix_of(name) in ("txt", "csv", "tsv") and part_of_file(name)]
    if lists:
        references = References(contents.images)
        lists = [name for name in lists if any(map(references.find, _lines(contents.attachments[name])))]
    notes = []
    if lists:
        lists_images = "lists images and is" if len(lists) == 1 else "list images and are"
        notes.append(
            f"{listed(lists)} {lists_images} called as parts, and such lists are not read: put parts into folders"
        )
    others = [name for name in unused if name not in lists and _may_say_parts(name, contents.attachments[name])]
    if others:
        read = "was not read" if len(others) == 1 else "were not read"
        notes.append(f"{listed(others)} may say the parts of images, and {read}: put parts into folders")
    return notes


def _may_say_parts(name: str, content: bytes) -> bool:
    if words_in(PurePosixPath(name).stem) & _OF_SPLITS:
        return True
    try:
        table = read_table(name, content)
    except InvalidArchive:
        return False
    return table is not None and any(
        says_parts(column, set(map(as_label, table.distinct(column)))) for column in table.header
    )


def may_say_classes(contents: Contents, used: Collection[str]) -> list[str]:
    """Texts and sheets that were not used, in which the classes may stand."""
    names = [*contents.attachments, *(file.name for file in contents.left_out)]
    return [name for name in names if name not in used and suffix_of(name) in _MAY_SAY_CLASSES]


def _lines(content: bytes) -> Iterator[str]:
    yield from content[: 2**16].decode("utf-8", "replace").splitlines()[:_LINES]
