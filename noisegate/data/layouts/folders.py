"""Class folders, below any folders that all images share (`content/mydata/train/cat/1.png`):

train/<class>/<image>, also with val/ and test/     taken as they are; splitting.py says what val becomes
train/<class>/<image>                               split into train and test
<class>/<image>                                     split into train and test

Parts may be called in other words and in capitals (`Training`, `valid`, `test_set`). Images below folders that have the same name
within every class (`<class>/images/<image>`) belong to the class. `unlabeled` and the like are no classes, and masks beside the
images that they are of are no images of the class (noisegate.data.layouts.no_class).
"""

from collections.abc import Sequence
from dataclasses import replace

from noisegate.data.layouts.contents import Assigned, Contents, Recognised
from noisegate.data.layouts.no_class import masks, no_class, notes_on, says_no_label, without_label
from noisegate.data.layouts.parts import beside_part, part_called
from noisegate.data.layouts.passed_over import check_class_folders
from noisegate.data.layouts.suffixes import suffix_of
from noisegate.data.layouts.tree import Place, Tree, read_tree
from noisegate.data.layouts.words import count, listed, were
from noisegate.data.members import LeftOut, refuse
from noisegate.errors import InvalidArchive

REMEDY = "Arrange the images as train/<class>/<image> and test/<class>/<image>, or as <class>/<image>."


def class_folders(contents: Contents) -> Recognised:
    """Every image with the class that its folder names, and the part if a folder says it.

    Raises:
        InvalidArchive: folders of another layout, or that could mean two things; a class folder whose files were all left out.
    """
    tree, places = _read(contents.images)
    found = _reading(tree, contents.images, places)
    if isinstance(found, InvalidArchive):
        raise _with_texts(found, contents)
    with_images = {(place.part, place.folders[0]) for place in places if place and place.folders}
    notes = check_class_folders(contents, tree, with_images)
    return replace(found, notes=[*found.notes, *notes])


def _with_texts(fault: InvalidArchive, contents: Contents) -> InvalidArchive:
    """Names the texts that came along, as one of them may have been meant to say the classes."""
    texts = [
        name for name in contents.attachments if suffix_of(name) in ("csv", "tsv", "json", "jsonl", "ndjson", "txt")
    ]
    if not texts:
        return fault
    detail = f"{fault.detail} (beside the images {'stands' if len(texts) == 1 else 'stand'} {listed(texts)})"
    return InvalidArchive(detail, field=fault.field, remedy=fault.remedy)


def folder_reading(paths: Sequence[str]) -> Recognised | InvalidArchive:
    """What the folders say by themselves, or why they say nothing. `paths` are one or more."""
    tree, places = _read(paths)
    return _reading(tree, paths, places)


def _read(paths: Sequence[str]) -> tuple[Tree, list[Place | None]]:
    """The tree of the images that may have a label, and where each path stands in it."""
    unlabelled = without_label(paths)
    tree = read_tree([path for index, path in enumerate(paths) if index not in unlabelled])
    return tree, tree.places(paths)


def _reading(tree: Tree, paths: Sequence[str], places: Sequence[Place | None]) -> Recognised | InvalidArchive:
    unlabelled = without_label(paths)
    inside = [index for index in range(len(paths)) if index not in unlabelled]
    fault = _fault(tree, [paths[index] for index in inside], [places[index] for index in inside])
    if fault:
        return fault
    called_masks = masks(paths)
    images, outside, of_images = [], [], []
    for index in inside:
        place = places[index]
        assert place is not None, "a place outside is a fault"
        if not place.folders:
            outside.append(LeftOut(paths[index], f"lies directly in {place.part!r}, where no folder says its class"))
        elif says_no_label(place.folders[0]):  # where all lie in such folders
            unlabelled[index] = LeftOut(paths[index], no_class(place.folders[0]))
        elif index in called_masks:
            of_images.append(called_masks[index])
        else:
            part = tree.parts[place.part] if place.part else None
            images.append(Assigned(index, place.folders[0], part, "/".join((*place.folders[1:], place.file))))
    layout = f"class folders in {listed(tree.parts)}" if tree.parts else "class folders"
    notes = [*_notes([places[index] for index in inside], len(outside)), *notes_on(unlabelled.values(), of_images)]
    return Recognised(layout, images, [*unlabelled.values(), *of_images, *outside], notes)


def _fault(tree: Tree, paths: Sequence[str], places: Sequence[Place | None]) -> InvalidArchive | None:
    return (
        _fault_of_parts(tree, paths, places)
        or _fault_of_tars(paths, places)
        or _fault_of_places(tree, paths, places)
        or _fault_of_names(places)
    )


def _fault_of_parts(tree: Tree, paths: Sequence[str], places: Sequence[Place | None]) -> InvalidArchive | None:
    """Two folders for one part, or images directly in a part where they must not be."""
    for folder, part in tree.parts.items():
        twins = [other for other in tree.parts if tree.parts[other] == part]
        if len(twins) > 1:
            return refuse(
                folder, f"and {twins[1]!r} would both be the {part} part", "Put their images into one folder."
            )
    with_classes = {place.part for place in places if place and place.folders}
    for path, place in zip(paths, places, strict=True):
        if place is None or place.folders or place.part is None:
            continue
        taken = f"lies directly in {place.part!r}, which was taken for the {tree.parts[place.part]} part"
        if place.part in with_classes:
            what = f"{taken}, as it holds folders too"
            return refuse(path, what, "Put it into the folder of its class, or rename the folder if it is a class.")
        if not any(tree.parts[part] == "train" for part in with_classes if part):
            return refuse(path, f"{taken}: no folder and no table says its class", REMEDY)
    return None


def _fault_of_places(tree: Tree, paths: Sequence[str], places: Sequence[Place | None]) -> InvalidArchive | None:
    """Images outside the layout of the others, or so deep that two folders could be their class."""
    classes = [place.folders for place in places if place and place.folders]
    if not classes:
        which = f"and {count(len(paths) - 1, 'other image')} lie" if len(paths) > 1 else "lies"
        return refuse(paths[0], f"{which} in no class folder, and no table says a class", REMEDY)
    inner = {folders[1:] for folders in classes}
    deepest = max(map(len, classes))
    for path, place in zip(paths, places, strict=True):
        if place is None:
            beside = f"{listed(tree.parts)}, taken for the parts" if tree.parts else "the folders of the other images"
            return refuse(path, f"lies outside {beside}", REMEDY)
        if not place.folders and not tree.parts:
            return refuse(path, "lies in no class folder, as other images do", REMEDY)
        if len(inner) > 1 and len(place.folders) == deepest and part_called(place.folders[-1]):
            outer, part = place.folders[0], place.folders[-1]
            what = f"lies in {part!r}, which is called as a part, within {outer!r}, which stands where classes do"
            remedy = f"Put parts outermost, as {part}/{outer}/<image>; or move the images up into {outer!r}."
            return refuse(path, what, remedy)
        if len(inner) > 1 and len(place.folders) == deepest:
            either = listed({place.folders[0], place.folders[-1]}, "or")
            return refuse(path, f"lies deeper than a class folder: its class may be {either}", REMEDY)
        if not tree.parts and part_called(place.folders[0]) in ("validation", "test"):
            what = "stands beside class folders: it may be a class of that name, or hold images without labels"
            return refuse(place.folders[0], what, "Rename it if it is a class, else leave it out of the archive.")
    return None


def _fault_of_tars(paths: Sequence[str], places: Sequence[Place | None]) -> InvalidArchive | None:
    """Images in a tar within the archive that no folder and no table labels: its name is that of a piece, and of no class."""
    for path, place in zip(paths, places, strict=True):
        if place and place.folders and place.folders[0].lower().endswith(".tar"):
            what = f"lies in {place.folders[0]!r}, which is a tar and no class folder, and no table or sample says its class"
            return refuse(path, what, "Unpack the tars; or rename the folder, if it is one and its name is a class.")
    return None


def _fault_of_names(places: Sequence[Place | None]) -> InvalidArchive | None:
    """Class folders that only the word for a part tells apart, such as `cat_train` and `cat_test`: one class may be meant."""
    first: dict[str, tuple[str, str]] = {}
    for name in sorted({place.folders[0] for place in places if place and place.folders}):
        found = beside_part(name)
        if found is None:
            continue
        rest, part = found
        other, its_part = first.setdefault(rest, (name, part))
        if part != its_part:
            what = f"and {other!r}, which stand where classes do, differ only in the word for a part: they may be one class"
            return refuse(
                name, what, f"Put parts outermost, as {part}/{rest}/<image>; or rename them if they are two classes."
            )
    return None


def _notes(places: Sequence[Place | None], outside: int) -> list[str]:
    notes = []
    classes = [place.folders for place in places if place and place.folders]
    named_as_parts = {folder for folder in {folders[0] for folders in classes} if part_called(folder)}
    if named_as_parts:
        what = (
            "a class, as images lie directly in it"
            if len(named_as_parts) == 1
            else "classes, as images lie directly in them"
        )
        notes.append(f"{listed(named_as_parts)} {were(len(named_as_parts))} taken for {what}")
    if len(classes[0]) > 1:
        notes.append(f"images lie in {'/'.join(classes[0][1:])!r} below each class folder, which was passed through")
    if outside:
        parts = {place.part for place in places if place and place.part and not place.folders}
        notes.append(f"{count(outside, 'image')} directly in {listed(parts)} had no label and {were(outside)} left out")
    return notes
