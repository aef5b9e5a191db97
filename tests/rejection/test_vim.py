import numpy as np
import pytest

from noisegate.rejection.scores import KnownLogits, Rows, TrainingAnswers
from noisegate.rejection.vim import VirtualLogit

CLASSES, WIDTH = 3, 8


def layer(features: np.ndarray, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    logits: np.ndarray = features @ generator.normal(size=(features.shape[1], CLASSES)) + generator.normal(size=CLASSES)
    return logits


def training(images: int, width: int = WIDTH, seed: int = 1) -> TrainingAnswers:
    features = np.abs(np.random.default_rng(seed).normal(size=(images, width))) * np.geomspace(3, 0.1, width)
    return TrainingAnswers(layer(features), features, np.arange(images) % CLASSES)


def scores(fitted_on: TrainingAnswers, features: np.ndarray) -> Rows:
    scorer = VirtualLogit()
    return scorer.value(KnownLogits(layer(features)), features, scorer.fit(fitted_on))


def virtual_logits(fitted_on: TrainingAnswers, features: np.ndarray, directions: int) -> np.ndarray:
    """By the formulas of the paper in float64, with the layer's own weights."""
    weights, bias = layer(np.eye(WIDTH)) - layer(np.zeros((WIDTH, WIDTH))), layer(np.zeros((1, WIDTH)))[0]
    origin = -np.linalg.pinv(weights.T) @ bias
    shifted = fitted_on.features - origin
    _, axes = np.linalg.eigh(shifted.T @ shifted)
    rest = axes[:, : WIDTH - directions]
    scale = fitted_on.logits.max(axis=1).mean() / np.linalg.norm(shifted @ rest, axis=1).mean()
    virtual: np.ndarray = scale * np.linalg.norm((features - origin) @ rest, axis=1)
    return virtual


@pytest.mark.parametrize("apart", [0.0, 1000.0])
def test_it_is_the_papers_formula_also_where_features_are_large_and_alike(apart: float) -> None:
    """A network may answer every image with nearly the same features: float32 of their squares then tells nothing."""
    near = training(100)
    weights = layer(np.eye(WIDTH)) - layer(np.zeros((WIDTH, WIDTH)))
    features = near.features + apart * np.linalg.svd(weights.T)[2][-1]
    answers = TrainingAnswers(layer(features), features, near.labels)
    tried = features[:20] + 0.1
    known = KnownLogits(layer(tried))
    scorer = VirtualLogit()
    found = scorer.value(known, tried.astype(np.float32), scorer.fit(answers)) + known.log_sum_exp
    np.testing.assert_allclose(found, virtual_logits(answers, tried, WIDTH // 2), rtol=1e-3)


def test_virtual_logits_of_training_images_are_as_large_as_their_largest_logits() -> None:
    answers = training(100)
    known = KnownLogits(answers.logits)
    virtual = scores(answers, answers.features) + known.log_sum_exp
    assert virtual.mean() == pytest.approx(known.largest.mean(), rel=1e-5)
    assert virtual.min() >= 0


def test_what_training_images_do_not_have_is_unknown() -> None:
    """The same logits, with something added that neither the layer nor the principal subspace sees."""
    answers = training(200)
    weights = layer(np.eye(WIDTH)) - layer(np.zeros((WIDTH, WIDTH)))
    seen = np.vstack([weights.T, VirtualLogit().fit(answers)["directions"]])
    unseen = np.linalg.svd(seen)[2][-1]
    changed = answers.features + 5 * unseen
    np.testing.assert_allclose(layer(changed), answers.logits, atol=1e-5)
    assert (scores(answers, changed) > scores(answers, answers.features)).all()


@pytest.mark.parametrize(("images", "width"), [(1, 1), (3, 5), (40, 1), (30, 300), (300, 200)])
def test_few_images_or_features_still_have_a_score(images: int, width: int) -> None:
    answers = training(images, width)
    stored = VirtualLogit().fit(answers)
    assert set(stored) == set(VirtualLogit.arrays)
    assert stored["directions"].shape == (max(1, min(64, width // 2, images // 2)), width)
    assert np.isfinite(scores(answers, answers.features)).all()


def test_features_of_another_width_are_refused() -> None:
    scorer = VirtualLogit()
    with pytest.raises(ValueError, match="shapes"):
        scorer.value(KnownLogits(np.zeros((2, CLASSES))), np.ones((2, 6)), scorer.fit(training(30)))
