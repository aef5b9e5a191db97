"""Images among class folders that are of no class: in folders whose names say so, and masks beside the images that they are of."""

import re
from collections.abc import Collection, Iterator, Sequence

from noisegate.data.layouts.suffixes import without_suffix
from noisegate.data.layouts.words import count, listed, were
from noisegate.data.members import LeftOut

# FiftyOne's `_unlabeled`, Datumaro's `no_label`, `unlabelled`, `unsup` of semi-supervised sets, `not-annotated`.
_UNLABELLED = re.compile(r"_?(un|no|not|without)[ _-]?(label|labels|labell?ed|annotated|annotations?|sup|supervised)")
_WORDS = "masks?|seg|segm|segmentations?|gt|ground[ _-]?truth|annot|annotations?|lbl|labels?|label[ _-]?ids?|trimaps?|mattes?|depth"
# Of every image: most have none of these, and go no further.
_ANY = re.compile(r"mask|seg|gt|ground|anno|lbl|label|trimap|matte|depth", re.IGNORECASE)
_AFTER = re.compile(rf"(.+?)[ ._-]+(?:{_WORDS})(?:[ ._-]?\d+)?", re.IGNORECASE)
_BEFORE = re.compile(rf"(?:{_WORDS})[ ._-]+(.+)", re.IGNORECASE)
_MASK = "is called as a mask of an image beside it"


def says_no_label(name: str) -> bool:
    """Whether a folder, or a class, is called `unlabeled` or the like."""
    return _UNLABELLED.fullmatch(name.lower()) is not None


def no_class(folder: str) -> str:
    """Why what lies in such a folder is left out."""
    return f"lies in {folder!r}, which is no class"


def unlabelled_folder(path: str) -> str | None:
    """The outermost folder of a path that says that what lies in it has no label."""
    return next((folder for folder in path.split("/")[:-1] if says_no_label(folder)), None)


def without_label(paths: Sequence[str]) -> dict[int, LeftOut]:
    """Images in such folders, by their places in `paths`; none where all lie in one, which then says nothing."""
    of_folder = {folder: unlabelled_folder(f"{folder}/") for folder in {path.rpartition("/")[0] for path in paths}}
    if all(of_folder.values()):
        return {}
    return {
        index: LeftOut(path, no_class(folder))
        for index, path in enumerate(paths)
        if (folder := of_folder[path.rpartition("/")[0]])
    }


def masks(paths: Sequence[str]) -> dict[int, LeftOut]:
    """Images called as masks, such as `x (1)_mask.png`, of others in their folder, `x (1).png`; by their places in `paths`."""
    called = {index: path for index, path in enumerate(paths) if _ANY.search(path, path.rfind("/") + 1)}
    folders = {path.rpartition("/")[0] for path in called.values()}
    stems = {without_suffix(path): path for path in paths if called and path.rpartition("/")[0] in folders}
    found = {}
    for index, path in called.items():
        folder, slash, file = without_suffix(path).rpartition("/")
        of = next((stems[name] for name in _masked(file, folder + slash) if name in stems), None)
        if of is not None:
            found[index] = LeftOut(path, _MASK)
    return found


def masked_name(name: str) -> str | None:
    """What is left of a folder's name without the word for masks: `benign` of `benign_masks`."""
    match = _AFTER.fullmatch(name)
    return match[1] if match else None


def notes_on(unlabelled: Collection[LeftOut], of_images: Collection[LeftOut]) -> list[str]:
    """Sentences about those that were left out."""
    notes = []
    folders = {name for file in unlabelled if (name := unlabelled_folder(file.name))}
    if unlabelled:
        number = len(unlabelled)
        notes.append(f"{count(number, 'image')} in {listed(folders, 'or')} had no label and {were(number)} left out")
    if of_images:
        number, first = len(of_images), min(of_images, key=lambda file: file.name)
        called = "is called as a mask" if number == 1 else "are called as masks"
        notes.append(
            f"{count(number, 'image')} {called} of others beside and {were(number)} left out, such as {first.name!r}: "
            "rename what is an image of its class"
        )
    return notes


def _masked(file: str, folder: str) -> Iterator[str]:
    for pattern in (_AFTER, _BEFORE):
        if match := pattern.fullmatch(file):
            yield folder + match[1]
