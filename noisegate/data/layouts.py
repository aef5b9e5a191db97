"""What the folders of a data set mean: which image is of which class and in which split.

Three layouts, each also below one common folder (`mydata/train/cat/1.png`):

    train/<class>/<image> and test/<class>/<image>      taken as they are
    train/<class>/<image>                               split into train and test
    <class>/<image>                                     split into train and test

A split is 80 to 20 within every class and depends on the paths alone: an image keeps its side in every archive format
and order, and at every image size.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive
from noisegate.seeds import derive_seed
from noisegate.spec import NOISE_CLASS

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

# One image in this many goes to the test split.
_TEST_ONE_IN = 5
_MAX_CLASS_NAME_LENGTH = 100
_SEED = 0
_REMEDY = "Arrange the images as train/<class>/<image> and test/<class>/<image>, or as <class>/<image>."


@dataclass(frozen=True, slots=True)
class Placed:
    """Where one image belongs; `index` is its place in the sequence that was given."""

    index: int
    split: Split
    class_name: str
    name: str

    @property
    def rank(self) -> tuple[int, str, str]:
        """Its place in the fixed shuffle of its split: as good as random, and the same whatever else is there."""
        return derive_seed(_SEED, "shuffle", self.split, self.class_name, self.name), self.class_name, self.name


@dataclass(frozen=True)
class Layout:
    """All images, in their final order: train before test, shuffled within each; classes in the order of the labels."""

    classes: tuple[str, ...]
    images: tuple[Placed, ...]


def resolve_layout(paths: Sequence[str]) -> Layout:
    """The layout of a data set with these image paths, which are distinct.

    Images are shuffled because a data set's file order is used as such later (PAPER.md, Subgroups), where sorting by
    class would be no order at all.

    Raises:
        InvalidArchive: no images, folders of none of the three layouts, fewer than two classes, a class name that is
            reserved or not printable, a test class that is not in train, or a class too small to be split.
    """
    if not paths:
        raise InvalidArchive("the archive holds no images", field="archive", remedy=_REMEDY)
    placed, is_split = _place(paths)
    _check_classes({image.class_name for image in placed})
    if is_split:
        _check_test_classes(placed)
    else:
        placed = _split(placed)
    ordered = sorted(placed, key=lambda image: (image.split != "train", image.rank))
    classes = tuple(sorted({image.class_name for image in placed}))
    return Layout(classes, tuple(ordered))


def _place(paths: Sequence[str]) -> tuple[list[Placed], bool]:
    """Every image with its class, and whether the folders say its split; if not, it counts as train."""
    parts = [path.split("/") for path in paths]
    first = parts[0][0]
    if first not in SPLITS and all(part[0] == first and len(part) > 2 for part in parts):
        parts = [part[1:] for part in parts]
    has_split_folders = any(part[0] in SPLITS for part in parts)
    depth = 3 if has_split_folders else 2
    for path, part in zip(paths, parts, strict=True):
        if len(part) != depth or (has_split_folders and part[0] not in SPLITS):
            raise refuse(path, "lies outside the layout of the other images", _REMEDY)
    splits = {part[0] for part in parts} if has_split_folders else {"train"}
    if splits == {"test"}:
        remedy = "Add images to train from, in train/<class>/."
        raise InvalidArchive("the archive has a test folder and no train folder", field="archive", remedy=remedy)
    placed = [
        Placed(index, "test" if has_split_folders and part[0] == "test" else "train", part[-2], part[-1])
        for index, part in enumerate(parts)
    ]
    return placed, "test" in splits


def _check_classes(classes: set[str]) -> None:
    for name in sorted(classes):
        if not name.isprintable() or name != name.strip() or len(name) > _MAX_CLASS_NAME_LENGTH:
            what = f"is no class name: 1 to {_MAX_CLASS_NAME_LENGTH} printable characters, no blanks around them"
            raise refuse(name, what, "Rename the folder.")
        if name.casefold() == NOISE_CLASS:
            raise refuse(name, "is reserved for the class that noise images are trained as", "Rename the folder.")
    if len(classes) < 2:
        (name,) = classes
        raise InvalidArchive(
            f"the archive has one class only, {name!r}", field="archive", remedy="A classifier needs two or more."
        )


def _check_test_classes(placed: Sequence[Placed]) -> None:
    trained = {image.class_name for image in placed if image.split == "train"}
    for image in placed:
        if image.class_name not in trained:
            path = f"test/{image.class_name}"
            raise refuse(path, "has no counterpart in train", f"Add train/{image.class_name}, or leave it out.")


def _split(placed: Sequence[Placed]) -> list[Placed]:
    """A fifth of every class into test, but at least one image: those with the smallest of fixed random numbers."""
    sizes = Counter(image.class_name for image in placed)
    for class_name, size in sorted(sizes.items()):
        if size < 2:
            remedy = "Add images to it, or give test/<class>/ folders of your own."
            raise refuse(class_name, "has a single image, which cannot be in train and in test", remedy)
    quota = {name: max(1, round(size / _TEST_ONE_IN)) for name, size in sizes.items()}
    by_chance = sorted(
        placed, key=lambda image: (derive_seed(_SEED, "split", image.class_name, image.name), image.name)
    )
    result = []
    for image in by_chance:
        is_test = quota[image.class_name] > 0
        quota[image.class_name] -= is_test
        result.append(replace(image, split="test" if is_test else "train"))
    return result
