"""Train and test: taken as a layout names them, or drawn 80 to 20 within every class.

The draw depends on the paths alone: an image keeps its side in every archive format and order, and at every image size.
"""

from collections import Counter
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from noisegate.api.reading import Validation
from noisegate.data.layouts.class_names import plain
from noisegate.data.layouts.contents import SPLITS, Assigned, BaseClasses, Placed
from noisegate.data.layouts.words import count, were
from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive
from noisegate.seeds import derive_seed

# One image in this many goes to the test split.
_TEST_ONE_IN = 5
_SEED = 0

_Role = Literal["train", "test", "leave_out"]


@dataclass(frozen=True)
class Placement:
    """Every image in train or test, or among those left out by index; and sentences about that."""

    placed: Sequence[Placed]
    left_out: Sequence[int] = ()
    notes: Sequence[str] = field(default_factory=list)


def place(images: Sequence[Assigned], validation: Validation, base: BaseClasses | None = None) -> Placement:
    """Where every image goes. Where only some are of a part, the others are training images.

    Args:
        base: what the images are added to. Then those of no part are training images, and none are drawn: what was tested on
            stays the same.

    Raises:
        InvalidArchive: there is nothing to train from, a test class is not in train, a class is too small to be split, or it
            was said what a validation part becomes and there is none.
    """
    parts = {image.split for image in images}
    if validation != "auto" and "validation" not in parts:
        detail = f"validation={validation} was asked for, and the archive has no validation part"
        remedy = "Leave validation out; or call the folder of that part `val`, or name it in a table."
        raise InvalidArchive(detail, field="validation", remedy=remedy)
    if parts == {None} and base is None:
        return Placement(_drawn(images))
    sides_there_are = parts if base is None else parts | set(SPLITS)
    role: _Role = _role(sides_there_are, validation) if "validation" in parts else "train"
    taken = [
        _sided(image, role, sides_there_are) for image in images if image.split != "validation" or role != "leave_out"
    ]
    validation_images = sum(image.split == "validation" for image in images)
    notes = [_note(validation_images, role, base)] if "validation" in parts else []
    left_out = [image.index for image in images if image.split == "validation" and role == "leave_out"]
    _check_left_out(images, taken, base)
    notes += _note_on_training(images, base)
    if base is not None:
        return Placement(_placed(taken, base.trained), left_out, notes)
    sides = {image.split for image in taken}
    if "train" not in sides:
        named = " and ".join(sorted(part for part in parts if part))
        remedy = "Add images to train from, in train/<class>/; or rename the folder if it is no part."
        raise InvalidArchive(
            f"the archive has a {named} part and nothing to train from", field="archive", remedy=remedy
        )
    if "test" not in sides:
        return Placement(_drawn(taken), left_out, notes)
    return Placement(_placed(taken), left_out, notes)


def _check_left_out(images: Sequence[Assigned], taken: Sequence[Assigned], base: BaseClasses | None) -> None:
    """Raises InvalidArchive for classes that would be left out with the validation images."""
    known = {image.class_name for image in taken} | (base.trained if base else set())
    lost = sorted({image.class_name for image in images} - known)
    if lost:
        what = "has validation images alone, which were to be left out"
        raise refuse(lost[0], what, "Give it training images; or validation=train, which makes these such.")


def _role(parts: Collection[str | None], validation: Validation) -> _Role:
    if validation != "auto":
        return validation
    return "train" if "test" in parts else "test"


def _note(number: int, role: _Role, base: BaseClasses | None) -> str:
    # Which of them the base has already, and so are left out, is not known yet.
    images = count(number, "validation image") if base is None or role == "leave_out" else "validation images"
    match role:
        case "train":
            return f"{images} became {_sort(number, 'training image')}: a holdout is drawn from those"
        case "test":
            return f"{images} became {_sort(number, 'test image')}"
        case "leave_out":
            return f"{images} {were(number)} left out, as asked for"


def _note_on_training(images: Sequence[Assigned], base: BaseClasses | None) -> list[str]:
    number = sum(image.split is None for image in images)
    if not number:
        return []
    if base is not None:
        return ["images of no part became training images: none are drawn from what is added to a base"]
    return [f"{count(number, 'image')} of no part became {_sort(number, 'training image')}: others are of one"]


def _sort(number: int, sort: str) -> str:
    return f"a {sort}" if number == 1 else f"{sort}s"


def _sided(image: Assigned, role: _Role, parts: Collection[str | None]) -> Assigned:
    """The image with train or test for its part."""
    if image.split != "validation":
        return image if image.split else image._replace(split="train")
    assert role != "leave_out", "left out before"
    # Two slashes, as in no path: train/cat/1.png and val/cat/1.png are two images of one side then.
    name = f"validation//{image.name}" if role in parts or role == "train" else image.name
    return image._replace(split=role, name=name)


def _placed(images: Sequence[Assigned], trained: Set[str] = frozenset()) -> list[Placed]:
    """Images with train or test for their part; `trained` are classes that have other training images."""
    placed = [
        Placed(image.index, "test" if image.split == "test" else "train", image.class_name, image.name)
        for image in images
    ]
    _check_test_classes(placed, trained)
    return placed


def _check_test_classes(placed: Sequence[Placed], trained_besides: Set[str]) -> None:
    trained = {image.class_name for image in placed if image.split == "train"} | trained_besides
    for image in placed:
        if image.class_name not in trained:
            alike = [name for name in sorted(trained) if plain(name) == plain(image.class_name)]
            what = "has no counterpart in train" + (f", which has {alike[0]!r}" if alike else "")
            name = image.class_name
            raise refuse(f"test/{name}", what, f"Add training images of {name!r}, or leave its test images out.")


def _drawn(images: Sequence[Assigned]) -> list[Placed]:
    """A fifth of every class into test, but at least one image: those with the smallest of fixed random numbers."""
    sizes = Counter(image.class_name for image in images)
    for class_name, size in sorted(sizes.items()):
        if size < 2:
            remedy = "Add images to it, or give test images of your own."
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
