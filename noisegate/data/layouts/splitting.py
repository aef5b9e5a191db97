"""Train and test: taken as a layout names them, or drawn 80 to 20 within every class.

The draw depends on the paths alone: an image keeps its side in every archive format and order, and at every image size.
"""

from collections import Counter
from collections.abc import Sequence, Set
from typing import Literal

from noisegate.data.layouts.contents import Assigned, Placed
from noisegate.data.members import NamedSplit, refuse
from noisegate.errors import InvalidArchive
from noisegate.seeds import derive_seed
from noisegate.spec.reading import Validation

# One image in this many goes to the test split.
_TEST_ONE_IN = 5
_SEED = 0


def place(images: Sequence[Assigned], validation: Validation) -> tuple[list[Placed], list[str]]:
    """Every image in train or test, and sentences about what was done with a validation part.

    Raises:
        InvalidArchive: there is nothing to train from, a test class is not in train, or a class is too small to be split.
    """
    parts = {image.split for image in images}
    if parts == {None}:
        return _drawn(images), []
    role, notes = _role(parts, validation)
    taken = [image for image in images if image.split != "validation" or role != "leave_out"]
    if not any(_side(image, role) == "train" for image in taken):
        remedy = "Add images to train from, in train/<class>/."
        raise InvalidArchive("the archive has a test folder and no train folder", field="archive", remedy=remedy)
    if not any(_side(image, role) == "test" for image in taken):
        return _drawn(taken), notes
    placed = [Placed(image.index, _side(image, role), image.class_name, image.name) for image in taken]
    _check_test_classes(placed)
    return placed, notes


def _role(parts: Set[NamedSplit | None], validation: Validation) -> tuple[str, list[str]]:
    if "validation" not in parts:
        return "train", []
    role = validation if validation != "auto" else "train" if "test" in parts else "test"
    said = {
        "train": "validation images became training images: a holdout is drawn from those",
        "test": "validation images became test images",
        "leave_out": "validation images were left out, as asked for",
    }
    return role, [said[role]]


def _side(image: Assigned, role: str) -> Literal["train", "test"]:
    named = role if image.split == "validation" else image.split
    return "test" if named == "test" else "train"


def _check_test_classes(placed: Sequence[Placed]) -> None:
    trained = {image.class_name for image in placed if image.split == "train"}
    for image in placed:
        if image.class_name not in trained:
            path = f"test/{image.class_name}"
            raise refuse(path, "has no counterpart in train", f"Add train/{image.class_name}, or leave it out.")


def _drawn(images: Sequence[Assigned]) -> list[Placed]:
    """A fifth of every class into test, but at least one image: those with the smallest of fixed random numbers."""
    sizes = Counter(image.class_name for image in images)
    for class_name, size in sorted(sizes.items()):
        if size < 2:
            remedy = "Add images to it, or give test/<class>/ folders of your own."
            raise refuse(class_name, "has a single image, which cannot be in train and in test", remedy)
    quota = {name: max(1, round(size / _TEST_ONE_IN)) for name, size in sizes.items()}
    by_chance = sorted(
        images, key=lambda image: (derive_seed(_SEED, "split", image.class_name, image.name), image.name)
    )
    result = []
    for image in by_chance:
        is_test = quota[image.class_name] > 0
        quota[image.class_name] -= is_test
        result.append(Placed(image.index, "test" if is_test else "train", image.class_name, image.name))
    return result
