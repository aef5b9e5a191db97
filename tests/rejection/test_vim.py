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


def test_at_the_origin_the_layer_answers_nothing() -> None:
    """Of all points where it does so, it is the one nearest to 0."""
    origin = VirtualLogit().fit(training(100))["origin"].astype(np.float64)
    np.testing.assert_allclose(layer(origin[np.newaxis]), np.zeros((1, CLASSES)), atol=1e-5)
    weights = layer(np.eye(WIDTH)) - layer(np.zeros((WIDTH, WIDTH)))
    elsewhere = origin - weights @ np.linalg.lstsq(weights, origin)[0]
    np.testing.assert_allclose(elsewhere, np.zeros(WIDTH), atol=1e-5)


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
