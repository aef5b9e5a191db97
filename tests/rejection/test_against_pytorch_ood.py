"""pytorch-ood, fed the same logits and features, agrees with every shared score to 1e-6; docs/scores.md names each deviation.

Its scores are higher for unknown images, as unknownness is here. Both get float64, so that rounding hides no difference.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pytorch_ood.detector import KNN, EnergyBased, Entropy, Mahalanobis, MaxLogit, MaxSoftmax, ViM
from torch import Tensor

from noisegate.evaluation.open_set_metrics import auroc
from noisegate.rejection import SCORES
from noisegate.rejection.knn import unit_rows
from noisegate.rejection.scores import KnownLogits, Rows, TrainingAnswers

CLASSES, WIDTH, IMAGES = 6, 10, 200


@pytest.fixture
def training() -> TrainingAnswers:
    generator = np.random.default_rng(0)
    labels = np.arange(IMAGES) % CLASSES
    features = np.abs(generator.normal(size=(CLASSES, WIDTH))[labels] + 0.5 * generator.normal(size=(IMAGES, WIDTH)))
    return TrainingAnswers(features @ generator.normal(size=(WIDTH, CLASSES)), features, labels)


@pytest.fixture
def features() -> np.ndarray:
    return np.abs(np.random.default_rng(1).normal(size=(100, WIDTH)))


def unknownness(name: str, logits: np.ndarray, features: np.ndarray, training: TrainingAnswers) -> Rows:
    scorer = SCORES[name]
    return scorer.unknownness(scorer.value(KnownLogits(logits), features, scorer.fit(training)))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("msp", MaxSoftmax.score),
        ("max_logit", MaxLogit.score),
        ("energy", EnergyBased.score),
        ("entropy", Entropy.score),
    ],
)
def test_scores_of_logits_agree(
    name: str, theirs: Callable[[Tensor], Tensor], training: TrainingAnswers, features: np.ndarray
) -> None:
    logits = np.random.default_rng(2).normal(0, 2, (500, CLASSES))
    found = unknownness(name, logits, np.zeros((500, WIDTH)), training)
    np.testing.assert_allclose(found, theirs(torch.from_numpy(logits)).numpy(), atol=1e-6, rtol=1e-6)


def test_knn_agrees(training: TrainingAnswers, features: np.ndarray) -> None:
    theirs = KNN(None, k=5).fit_features(torch.from_numpy(training.features), torch.from_numpy(training.labels))
    expected = theirs.predict_features(torch.from_numpy(features)).numpy()
    found = unknownness("knn", np.zeros((len(features), CLASSES)), features, training)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_vim_agrees(features: np.ndarray) -> None:
    """More images than features, so that the last layer is found as it is; half of the features' width are directions."""
    generator = np.random.default_rng(5)
    weights, bias = generator.normal(size=(CLASSES, WIDTH)), generator.normal(size=CLASSES)
    trained_on = np.abs(generator.normal(size=(IMAGES, WIDTH)))
    training = TrainingAnswers(trained_on @ weights.T + bias, trained_on, np.arange(IMAGES) % CLASSES)
    theirs = ViM(None, d=WIDTH // 2, w=torch.from_numpy(weights), b=torch.from_numpy(bias))
    theirs.fit_features(torch.from_numpy(trained_on), torch.from_numpy(training.labels))
    expected = theirs.predict_features(torch.from_numpy(features)).numpy()
    # It computes in float32.
    np.testing.assert_allclose(
        unknownness("vim", features @ weights.T + bias, features, training), expected, rtol=1e-5, atol=1e-5
    )


def test_mahalanobis_orders_alike_where_shrinkage_does_little(training: TrainingAnswers, features: np.ndarray) -> None:
    """There neither length 1 nor shrinkage, a sum of products for the covariance, and a half: for many images the rest agrees."""
    many = np.random.default_rng(3).integers(0, IMAGES, 5000)
    jitter = 0.1 * np.random.default_rng(4).normal(size=(5000, WIDTH))
    answers = TrainingAnswers(training.logits[many], training.features[many] + jitter, training.labels[many])
    theirs = Mahalanobis(None).fit_features(
        torch.from_numpy(unit_rows(answers.features).astype(np.float64)).float(), torch.from_numpy(answers.labels)
    )
    halves = theirs.predict_features(torch.from_numpy(unit_rows(features))).numpy()
    found = unknownness("mahalanobis", np.zeros((len(features), CLASSES)), features, answers)
    np.testing.assert_allclose(found, 2 * len(many) * halves, rtol=0.05)
    half = np.median(found)
    assert auroc(halves[found < half], halves[found >= half]) > 0.999
