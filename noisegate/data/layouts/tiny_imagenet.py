"""Tiny-ImageNet as it is published: train/<wnid>/images/, val/images/ with val_annotations.txt, test/images/, and words.txt.

Classes are called by their first word in words.txt; where two have the same, by word and number: `crane (n02012849)`.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from noisegate.data.layouts.class_names import is_class_name
from noisegate.data.layouts.contents import Assigned, Contents, Recognised
from noisegate.data.layouts.text import Unreadable, as_label, decoded
from noisegate.data.layouts.words import count, were
from noisegate.data.members import LeftOut, refuse

_ANNOTATIONS = "val/val_annotations.txt"
_LIST = "wnids.txt"


def tiny_imagenet(contents: Contents) -> Recognised | None:
    """Every training and validation image; test images have no labels and are left out. None without val_annotations.txt.

    Raises:
        InvalidArchive: a validation image without a line of its own, an image where Tiny-ImageNet has none, or a class of
            wnids.txt or with a folder without a training image.
    """
    roots = [name for name in contents.attachments if f"/{name}".endswith(f"/{_ANNOTATIONS}")]
    if len(roots) != 1:
        return None
    root = roots[0].removesuffix(_ANNOTATIONS)
    annotated = _annotations(roots[0], contents.attachments[roots[0]])
    found, left_out = [], []
    for index, path in enumerate(contents.images):
        match PurePosixPath(path.removeprefix(root)).parts:
            case ("train", wnid, "images", file):
                found.append(Assigned(index, wnid, "train", file))
            case ("val", "images", file) if file in annotated:
                found.append(Assigned(index, annotated[file], "validation", file))
            case ("val", "images", _):
                raise refuse(path, f"has no line in {roots[0]!r}", "Add one, or leave the image out.")
            case ("test", "images", _):
                left_out.append(LeftOut(path, "is a test image of Tiny-ImageNet, which have no labels"))
            case _:
                what = "lies where Tiny-ImageNet, recognised by val_annotations.txt, has no images"
                raise refuse(path, what, "Leave it out; or leave val_annotations.txt out.")
    _check_no_class_lost(contents, root, {image.class_name for image in found if image.split == "train"})
    words = f"{root}words.txt"
    called = _display_names({image.class_name for image in found}, contents.attachments.get(words))
    notes = _notes(found, annotated, roots[0], len(left_out))
    images = [image._replace(class_name=called[image.class_name]) for image in found]
    used = [
        name for name in contents.attachments if name in (roots[0], words, root + _LIST) or name.endswith("_boxes.txt")
    ]
    rename = f"Write another name for it in {words!r}, or rename its folder."
    return Recognised("Tiny-ImageNet", images, left_out, notes, used, rename)


def _check_no_class_lost(contents: Contents, root: str, trained: Collection[str]) -> None:
    """Raises InvalidArchive for a class that is listed or has a folder, and no training image that can be read."""
    content = contents.attachments.get(root + _LIST)
    said = dict.fromkeys(_lines(root + _LIST, content), root + _LIST) if content is not None else {}
    others = [
        *contents.attachments,
        *(file.name for file in contents.left_out),
        *(f"{name}/" for name in contents.empty_folders),
    ]
    for path in others:
        match path.removeprefix(root).split("/"):
            case ["train", wnid, _, *_] if path.startswith(root):
                said.setdefault(wnid, f"{root}train/{wnid}")
    lost = sorted(said.keys() - set(trained))
    if lost:
        why = f"is a class by {said[lost[0]]!r}, and has no training image that can be read"
        more = f"; so are {count(len(lost) - 1, 'other class', 'other classes')}" if lost[1:] else ""
        raise refuse(
            lost[0], why + more, f"Add images to train/{lost[0]}/images/, or take it out of {said[lost[0]]!r}."
        )


def _lines(name: str, content: bytes) -> list[str]:
    return [line.strip() for line in decoded(name, content).splitlines() if line.strip()]


def _annotations(name: str, content: bytes) -> dict[str, str]:
    """The class of every validation image: lines of file, wnid and the sides of a box, with tabs between them."""
    found: dict[str, str] = {}
    for number, line in enumerate(decoded(name, content).splitlines(), 1):
        if not line.strip():
            continue
        file, _, rest = line.partition("\t")
        wnid = as_label(rest.partition("\t")[0])
        if wnid is None:
            raise Unreadable(name, f"has no class in line {number}")
        if found.setdefault(file, wnid) != wnid:
            raise Unreadable(name, f"has two classes for {file!r}: {found[file]!r}, and {wnid!r} in line {number}")
    return found


def _display_names(wnids: Collection[str], words: bytes | None) -> dict[str, str]:
    """What to call each class; the same for none of them."""
    first = dict.fromkeys(wnids, "")
    for line in decoded("words.txt", words or b"").splitlines():
        wnid, _, rest = line.partition("\t")
        if wnid in first:
            first[wnid] = as_label(rest.partition(",")[0]) or ""
    shared = Counter(first.values())
    called = {}
    for wnid, word in first.items():
        name = word if shared[word] == 1 else f"{word} ({wnid})"
        called[wnid] = name if word and is_class_name(name) and name not in first else wnid
    return called


def _notes(found: Sequence[Assigned], annotated: Collection[str], file: str, test_images: int) -> list[str]:
    notes = []
    missing = len(annotated) - sum(image.split == "validation" for image in found)
    if missing:
        notes.append(
            f"{count(missing, 'line')} of {file!r} {'names' if missing == 1 else 'name'} no image that is here"
        )
    if test_images:
        notes.append(f"{count(test_images, 'test image')} had no label and {were(test_images)} left out")
    return notes
