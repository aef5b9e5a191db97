"""Random changes to images: each against a slow oracle of NumPy, and what is drawn for them."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from noisegate.learning.augmentation import changed, draw_changes
from noisegate.learning.batches import Batch, Batches
from noisegate.spec.recipe import Augmentation

from .factories import tinted_images

SIZE = 8
CPU = torch.device("cpu")


def slowly(image: np.ndarray, draws: list[int], asked: Augmentation) -> np.ndarray:
    """One image, step by step: mirrored, padded by its own mirror image and cut out elsewhere, then partly covered."""
    flip, down, across, row, column = draws
    size, reach = len(image), asked.crop_padding
    flipped = image[:, ::-1] if flip else image
    padded = np.pad(flipped, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    moved = padded[reach + down : reach + down + size, reach + across : reach + across + size].copy()
    top, left = row - asked.cutout // 2, column - asked.cutout // 2
    for y, x in itertools.product(range(top, top + asked.cutout), range(left, left + asked.cutout)):
        if 0 <= y < size and 0 <= x < size:
            moved[y, x] = 128
    return moved


def images(count: int = 40) -> Tensor:
    return torch.from_numpy(tinted_images(count, seed=5)[0])


@pytest.mark.parametrize(
    "asked",
    [
        Augmentation(flip=True, crop_padding=0, cutout=0),
        Augmentation(flip=False, crop_padding=3, cutout=0),
        Augmentation(flip=False, crop_padding=0, cutout=3),
        Augmentation(flip=False, crop_padding=0, cutout=4),
        Augmentation(flip=True, crop_padding=2, cutout=5),
        Augmentation(flip=True, crop_padding=SIZE - 1, cutout=SIZE - 1),
    ],
)
def test_images_are_changed_as_drawn(asked: Augmentation) -> None:
    found, generator = images(), torch.Generator().manual_seed(3)
    places = torch.randint(len(found), (200,), generator=generator)
    draws = draw_changes(asked, 200, SIZE, generator)
    shown = changed(found, places, draws, asked)
    expected = [
        slowly(found[place].numpy(), one, asked) for place, one in zip(places.tolist(), draws.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(shown, np.stack(expected))
    assert not torch.equal(shown, found[places])


def test_the_images_themselves_stay() -> None:
    found, asked = images(), Augmentation(flip=True, crop_padding=2, cutout=4)
    kept = found.clone()
    changed(found, torch.arange(40), draw_changes(asked, 40, SIZE, torch.Generator().manual_seed(1)), asked)
    assert torch.equal(found, kept)


def test_what_is_drawn_is_drawn_evenly() -> None:
    asked = Augmentation(flip=True, crop_padding=2, cutout=3)
    draws = draw_changes(asked, 7000, SIZE, torch.Generator().manual_seed(1)).numpy()
    for column, values in enumerate([range(2), range(-2, 3), range(-2, 3), range(SIZE), range(SIZE)]):
        found, counts = np.unique(draws[:, column], return_counts=True)
        assert found.tolist() == list(values)
        assert np.abs(counts / 7000 - 1 / len(values)).max() < 0.03
    assert np.abs(np.corrcoef(draws.T) - np.eye(5)).max() < 0.05


def test_nothing_is_drawn_that_was_not_asked_for() -> None:
    draws = draw_changes(
        Augmentation(flip=False, crop_padding=0, cutout=2), 500, SIZE, torch.Generator().manual_seed(1)
    )
    assert not draws[:, :3].any()


CHANGES = Augmentation(flip=True, crop_padding=2, cutout=3)


def batches(seed: int, augmentation: Augmentation | None = CHANGES) -> Batches:
    return Batches(20, 8, torch.Generator().manual_seed(seed), CPU, augmentation, SIZE)


def taken(source: Batches, count: int = 6) -> list[Batch]:
    return list(itertools.islice(source, count))


def test_a_seed_decides_places_and_changes() -> None:
    one, again, other = (taken(batches(seed)) for seed in (1, 1, 2))
    assert all(
        torch.equal(a.places, b.places) and torch.equal(a.draws, b.draws) for a, b in zip(one, again, strict=True)
    )
    assert not any(torch.equal(a.draws, b.draws) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0].draws, one[1].draws), "each batch has draws of its own"


def test_without_changes_nothing_but_orders_is_drawn() -> None:
    """So every run of the paper's recipe sees its images in the order in which it always did."""
    generator = torch.Generator().manual_seed(4)
    orders = [torch.randperm(20, generator=generator) for _ in range(3)]
    expected = [order[start : start + 8] for order in orders for start in (0, 8)]
    source = batches(4, augmentation=None)
    found = taken(source)
    assert [one.places.tolist() for one in found] == [one.tolist() for one in expected]
    assert all(one.draws.shape == (8, 0) for one in found)
    assert torch.equal(source.generator.get_state(), generator.get_state())
