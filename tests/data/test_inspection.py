"""What is said of pictures without a network: made-up pictures with one trouble each, and copies in known places."""

import io

import numpy as np
import pytest
from PIL import Image

from noisegate.data.inspection import inspect_copies, inspect_pictures, trouble
from noisegate.data.originals import Originals
from noisegate.inference.decoding import ImageLimits
from noisegate.spec.reasons import Reason

SIDE = 96
GENERATOR = np.random.default_rng(4)


def photograph(width: int = SIDE, height: int = SIDE) -> np.ndarray:
    """Hard-edged squares of many levels."""
    coarse = GENERATOR.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def soft() -> np.ndarray:
    """A slope of light, without any edge."""
    levels = np.linspace(20, 230, SIDE)
    return np.repeat(((levels[:, None] + levels[None]) / 2).astype(np.uint8)[..., None], 3, axis=2)


PICTURES: dict[Reason, np.ndarray] = {
    "dark": photograph() // 8,
    "bright": 255 - photograph() // 32,
    "blurry": soft(),
    "low_information": np.full((SIDE, SIDE, 3), 90, np.uint8),
    "odd_aspect": photograph(SIDE * 4, SIDE),
}


class Files(Originals):
    """Originals that lie in memory."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self._pictures = pictures

    def read(self, place: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self._pictures[place]).save(file, "PNG")
        return file.getvalue()


def flags_of(pictures: list[np.ndarray]) -> dict[Reason, np.ndarray]:
    packed = np.zeros((len(pictures), 8, 8, 3), np.uint8)
    return trouble(inspect_pictures(packed, Files(pictures), ImageLimits(), lambda _: None))


@pytest.mark.parametrize("reason", PICTURES)
def test_each_trouble_is_found_in_its_picture_alone(reason: Reason) -> None:
    found = flags_of([PICTURES[reason], *(photograph() for _ in range(9))])
    assert found[reason].tolist() == [True] + [False] * 9
    others = {name for name, flags in found.items() if flags.any()} - {reason}
    assert others <= {
        "dark": {"low_information"},
        "low_information": {"blurry"},
        "bright": {"low_information", "blurry"},
    }.get(reason, set())


def test_what_most_images_have_is_no_trouble() -> None:
    found = flags_of([PICTURES["dark"]] * 3 + [photograph() for _ in range(7)])
    assert not found["dark"].any()


def test_small_pictures_are_not_called_blurry_and_packed_ones_have_no_aspect() -> None:
    packed = np.stack([soft()[:8, :8], photograph()[:8, :8]])
    columns = inspect_pictures(packed, None, ImageLimits(), lambda _: None)
    assert np.isnan(columns["sharpness"]).all()
    assert np.isnan(columns["aspect"]).all()
    assert not trouble(columns)["blurry"].any()


def test_copies_name_the_earlier_the_test_and_the_other_class() -> None:
    pictures = [photograph() for _ in range(40)]
    pictures[5] = pictures[2]
    pictures[9] = pictures[3]
    pictures[32] = pictures[4]  # a test image
    near = np.asarray(Image.fromarray(pictures[6]).resize((SIDE - 8, SIDE - 8)).resize((SIDE, SIDE)))
    pictures[11] = near
    labels = np.arange(40) % 2
    labels[5], labels[9], labels[11] = labels[2], 1 - labels[3], labels[6]
    found = inspect_copies(np.stack(pictures), labels, 30)
    named = {name: {int(at): int(places[at]) for at in np.flatnonzero(places >= 0)} for name, places in found.items()}
    assert named == {
        "exact_copy_of": {5: 2, 9: 3},
        "near_copy_of": {11: 6},
        "other_class_copy": {3: 9, 9: 3},
        "test_copy": {4: 32},
    }
