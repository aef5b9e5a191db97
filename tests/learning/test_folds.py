"""Folds are equal parts in which every class has its share, and no image is on both sides."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from noisegate.learning.folds import each_fold, fold_numbers

Sizes = st.lists(st.integers(1, 30), min_size=2, max_size=6)


@given(Sizes, st.integers(0, 20), st.integers(0, 2**63 - 1))
def test_every_class_is_spread_over_equal_folds(sizes: list[int], noise: int, seed: int) -> None:
    known = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    labels = np.concatenate([known, np.full(noise, len(sizes))])
    found = fold_numbers(labels, len(known), None, seed)
    folds = max(2, min(5, *sizes))
    of_known = np.bincount(found[: len(known)], minlength=folds)
    assert len(of_known) == folds
    assert of_known.max() - of_known.min() <= 1
    for name in range(len(sizes) + (noise > 0)):
        of_class = np.bincount(found[labels == name], minlength=folds)
        assert of_class.max() - of_class.min() <= 1
    assert (found == fold_numbers(labels, len(known), None, seed)).all()
    assert (found[: len(known)] == fold_numbers(known, len(known), None, seed)).all(), "noise changes nothing"
    for trained, left_out in each_fold(found, len(known)):
        assert (np.sort(np.concatenate([trained[trained < len(known)], left_out])) == np.arange(len(known))).all()
        assert left_out.max() < len(known)


@given(st.lists(st.integers(0, 9), min_size=20, max_size=60), st.integers(0, 99))
def test_copies_of_an_image_stay_together(repeats: list[int], seed: int) -> None:
    images = np.array([*range(10), *repeats])
    found = fold_numbers(images % 2, len(images), images, seed)
    for image in range(10):
        assert len(set(found[images == image].tolist())) == 1
    assert set(found.tolist()) == set(range(5)), "two classes of five different images each"


def test_another_seed_deals_otherwise() -> None:
    labels = np.repeat([0, 1], 50)
    assert (fold_numbers(labels, 100, None, 0) != fold_numbers(labels, 100, None, 1)).any()
