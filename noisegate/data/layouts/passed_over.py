"""Classes that would be lost in silence, as none of their files can be read, and archives in which no file can.

A folder is in the place of a class if it stands where the folders of the images' classes stand, whichever files it holds. It
makes the upload fail if all of its files were left out and one of them is neither text nor a description: so a folder of GIFs
does, `docs/` does not. An empty folder does, unless it is called as a part. A folder elsewhere makes it fail if it holds pictures
that cannot be read and no image.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.no_class import unlabelled_folder
from noisegate.data.layouts.parts import part_called
from noisegate.data.layouts.suffixes import is_description, is_picture, suffix_of
from noisegate.data.layouts.tree import Place, Tree
from noisegate.data.layouts.words import count, each_of, listed, were
from noisegate.data.members import LeftOut, refuse
from noisegate.errors import InvalidArchive
from noisegate.image_kinds import IMAGE_KINDS

_ARCHIVES = each_of("7z bz2 gz rar tar tgz txz xz zip zst")


def check_any_image(contents: Contents, remedy: str) -> None:
    """Raises InvalidArchive if there is no image, saying which files were passed over, or that there are labels alone."""
    if contents.images:
        return
    for file in contents.left_out:
        if file.remedy:
            raise refuse(file.name, file.why, file.remedy)
    pictures = [file for file in contents.left_out if is_picture(file.name)]
    files = pictures or [file for file in contents.left_out if not is_description(file.name)]
    if files:
        detail = f"the archive holds no images that can be read: {_passed_over(files)}; these are read: {IMAGE_KINDS}"
        are_archives = all(suffix_of(file.name) in _ARCHIVES for file in files)
        how = "Unpack them, and pack their files into one archive." if are_archives else "Convert them to one of these."
        raise InvalidArchive(detail, field="archive", remedy=how)
    tables = [name for name in contents.attachments if suffix_of(name) in ("csv", "tsv", "json", "jsonl", "cls")]
    if tables:
        detail = f"the archive holds no images, but {listed(tables)}: labels alone make no data set"
        raise InvalidArchive(detail, field="archive", remedy="Put the image files beside them.")
    raise InvalidArchive("the archive holds no images", field="archive", remedy=remedy)


def check_any_label(contents: Contents, recognised: Recognised, remedy: str) -> None:
    """Raises InvalidArchive if no image has a label."""
    if not recognised.images:
        files = recognised.left_out or [LeftOut(name, "has no label") for name in contents.images]
        first = min(files, key=lambda file: file.name)
        detail = f"no image of the archive has a label: {first.name!r} {first.why}"
        raise InvalidArchive(detail, field="archive", remedy=remedy)


def check_class_folders(contents: Contents, tree: Tree, classes: Collection[tuple[str | None, str]]) -> list[str]:
    """Sentences about folders that are no class; `classes` are those with images, each with the folder of its part.

    Raises:
        InvalidArchive: a folder in the place of a class gives no image; all such are named.
    """
    _check_empty(contents, tree, classes)
    lost: dict[str, list[LeftOut]] = defaultdict(list)
    texts = [LeftOut(name, "is text") for name in contents.attachments]
    for file in (*contents.left_out, *texts):
        folder = _would_be_class(file, tree, classes)
        if folder is not None:
            lost[folder].append(file)
    described = {name: files for name, files in lost.items() if all(is_description(file.name) for file in files)}
    failing = {name: files for name, files in lost.items() if name not in described}
    if failing:
        said = "; ".join(f"{name}: {_passed_over(files)}" for name, files in sorted(failing.items()))
        ones = "this folder, which is" if len(failing) == 1 else "these folders, which are"
        detail = f"no image can be read from {ones} in the place of a class: {said}; these are read: {IMAGE_KINDS}"
        raise InvalidArchive(
            detail, field="archive", remedy="Convert the files, or leave the folder out of the archive."
        )
    return [f"{listed(described)} held no images, only text, and became no class"] if described else []


def notes_on_empty_folders(contents: Contents) -> list[str]:
    """A sentence about the outermost folders in which no file lies."""
    folders = set(contents.empty_folders)
    outermost = [name for name in folders if folders.isdisjoint(map(str, PurePosixPath(name).parents))]
    return [f"nothing lies in {listed(outermost)}"] if outermost else []


def _check_empty(contents: Contents, tree: Tree, classes: Collection[tuple[str | None, str]]) -> None:
    """Raises InvalidArchive for an empty folder in the place of a class; all such are named."""
    trained = {name for _, name in classes}
    empty = {name for folder in contents.empty_folders if (name := _empty_class(folder, tree, classes, trained))}
    if empty:
        ones = "this folder, which is" if len(empty) == 1 else "these folders, which are"
        detail = f"no file lies in {ones} in the place of a class: {listed(empty)}"
        raise InvalidArchive(
            detail, field="archive", remedy="Add images to each, or leave the folder out of the archive."
        )


def _empty_class(
    folder: str, tree: Tree, classes: Collection[tuple[str | None, str]], names: Collection[str]
) -> str | None:
    """The class that an empty folder stands for, with its part; None if it stands elsewhere, or for one with images."""
    if unlabelled_folder(f"{folder}/"):
        return None
    place = tree.place(f"{folder}/")
    if place is not None and place.folders:
        if (place.part, place.folders[0]) in classes or (len(place.folders) == 1 and part_called(place.folders[0])):
            return None
        return _called(place)
    # In a part without any image, where the folders of classes are empty, and not those of other parts.
    below = PurePosixPath(folder).relative_to("/".join(tree.prefix)).parts if _is_below(folder, tree) else ()
    if place is None and tree.parts and len(below) > 1 and part_called(below[0]) and below[1] not in names:
        return "/".join(below[:2])
    return None


def _is_below(folder: str, tree: Tree) -> bool:
    return tuple(folder.split("/"))[: len(tree.prefix)] == tree.prefix


def _would_be_class(file: LeftOut, tree: Tree, classes: Collection[tuple[str | None, str]]) -> str | None:
    """The folder that loses its class by this file; None if it stands elsewhere, or if its class has images."""
    if unlabelled_folder(file.name):
        return None
    place = tree.place(file.name)
    if place is None:
        return _folder_elsewhere(file, tree)
    if not place.folders or (place.part, place.folders[0]) in classes:
        return None
    return _called(place)


def _called(place: Place) -> str:
    return "/".join(filter(None, (place.part, place.folders[0])))


def _folder_elsewhere(file: LeftOut, tree: Tree) -> str | None:
    folder = str(PurePosixPath(file.name).parent)
    above = ["/".join(tree.prefix[:depth]) or "." for depth in range(len(tree.prefix) + 1)]
    return folder if is_picture(file.name) and folder not in above else None


def _passed_over(files: Sequence[LeftOut]) -> str:
    """`5 files, all .gif, were left out ('frog/0.gif' is not an image)`."""
    suffixes = Counter(_shown_suffix(file.name) for file in files)
    kinds = "; ".join(f"{number:,} {suffix}" for suffix, number in sorted(suffixes.items()))
    if len(suffixes) == 1:
        kinds = f"all {next(iter(suffixes))}" if len(files) > 1 else next(iter(suffixes))
    first = min(files, key=lambda file: file.name)
    return f"{count(len(files), 'file')}, {kinds}, {were(len(files))} passed over ({first.name!r} {first.why})"


def _shown_suffix(name: str) -> str:
    return f".{suffix}" if (suffix := suffix_of(name)) else "without a suffix"
