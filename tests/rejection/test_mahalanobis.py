import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from noisegate.rejection.knn import unit_rows
from noisegate.rejection.mahalanobis import Mahalanobis, ledoit_wolf
from noisegate.rejection.scores import KnownLogits, Rows, TrainingAnswers

CLASSES = 3


def training(images: int, width: int, seed: int = 0) -> TrainingAnswers:
    """Classes apart, with a few directions that vary much more than the others."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % CLASSES
    spread = np.geomspace(1, 0.01, width)
    features = 2 + generator.normal(size=(CLASSES, width))[labels] + spread * generator.normal(size=(images, width))
    return TrainingAnswers(np.zeros((images, CLASSES)), features.astype(np.float32), labels)


def distances(fitted_on: TrainingAnswers, features: np.ndarray) -> Rows:
    scorer = Mahalanobis()
    return scorer.value(KnownLogits(np.zeros((len(features), CLASSES))), features, scorer.fit(fitted_on))


def by_whole_matrices(fitted_on: TrainingAnswers, features: np.ndarray) -> np.ndarray:
    """To the nearest mean, with the precision of scikit-learn's shrunk covariance."""
    units = unit_rows(fitted_on.features).astype(np.float64)
    means = np.stack([units[fitted_on.labels == one].mean(axis=0) for one in range(CLASSES)])
    estimated = LedoitWolf(assume_centered=True).fit(units - means[fitted_on.labels])
    apart = unit_rows(features).astype(np.float64)[:, np.newaxis] - means
    every = np.einsum("nci,ij,ncj->nc", apart, estimated.precision_, apart)
    return np.asarray(every.min(axis=1))


@pytest.mark.parametrize(("images", "width"), [(200, 5), (30, 40), (300, 64), (20, 2)])
def test_it_is_the_distance_by_scikit_learns_covariance(images: int, width: int) -> None:
    """Up to 64 directions, none of which is averaged away: of 65, one direction is left, and is its own mean."""
    answers = training(images, width)
    features = np.concatenate([answers.features[:10], training(20, width, seed=1).features])
    np.testing.assert_allclose(distances(answers, features), by_whole_matrices(answers, features), rtol=2e-3)


def test_of_more_directions_the_small_ones_are_averaged() -> None:
    answers = training(500, 200)
    features = training(40, 200, seed=2).features
    found, whole = distances(answers, features), by_whole_matrices(answers, features)
    assert np.corrcoef(found, whole)[0, 1] > 0.9
    stored = Mahalanobis().fit(answers)
    assert stored["directions"].shape == (64, 200)
    assert set(stored) == set(Mahalanobis.arrays)
    assert sum(array.nbytes for array in stored.values()) < 4 * 200 * (64 + CLASSES + 2)


@pytest.mark.parametrize(("images", "width"), [(40, 6), (10, 60)])
def test_ledoit_wolf_is_scikit_learns(images: int, width: int) -> None:
    differences = np.random.default_rng(3).normal(size=(images, width)) * np.arange(1, width + 1)
    estimated = LedoitWolf(assume_centered=True).fit(differences)
    shrinkage, mean = ledoit_wolf(differences)
    assert shrinkage == pytest.approx(estimated.shrinkage_, rel=1e-9)
    assert mean == pytest.approx(np.trace(estimated.covariance_) / width, rel=1e-9)


def test_the_length_of_features_does_not_count() -> None:
    answers = training(100, 8)
    np.testing.assert_allclose(
        distances(answers, answers.features), distances(answers, 7 * answers.features), rtol=1e-3
    )


def test_an_image_unlike_all_classes_is_farther_than_theirs() -> None:
    answers = training(300, 8)
    assert distances(answers, -answers.features[:20]).min() > distances(answers, answers.features).max()


@pytest.mark.parametrize(("images", "width"), [(CLASSES, 4), (1, 1), (60, 1)])
def test_images_without_any_difference_still_have_a_distance(images: int, width: int) -> None:
    """One image of each class, or a single feature: nothing tells how a class varies."""
    answers = training(images, width)
    stored = Mahalanobis().fit(answers)
    assert all(array.size for array in stored.values())
    found = distances(answers, np.concatenate([answers.features, -answers.features, np.zeros((1, width))]))
    assert np.isfinite(found).all()


def test_a_class_that_no_training_image_stands_for_is_left_out() -> None:
    answers = training(60, 5)
    some = answers.labels != 1
    without = TrainingAnswers(answers.logits[some], answers.features[some], answers.labels[some])
    assert len(Mahalanobis().fit(without)["offsets"]) == CLASSES - 1
    assert np.isfinite(distances(without, answers.features)).all()


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        distances(training(30, 5), np.ones((2, 6)))
