"""The layer that was fitted without an image, against scikit-learn's, fitted without one after another."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import Ridge

from noisegate.evaluation.sample_value.left_out import left_out_probabilities

_SIZES = (30, 20, 6)
_PENALTIES = 10.0 ** np.arange(-5, 1.5, 0.5)


def _points() -> tuple[np.ndarray, np.ndarray]:
    """Three clouds of different sizes; the last feature is the same everywhere."""
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), _SIZES)
    features = 1.5 * np.eye(8)[labels] + generator.normal(0, 1, (len(labels), 8))
    features[:, -1] = 7
    return features.astype(np.float32), labels


def _refitted(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities of the labels, by a fit for each image and penalty."""
    weights = (len(labels) / 3 / np.bincount(labels))[labels]
    mean = np.average(features, axis=0, weights=weights)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
    scaled = (features - mean) / np.where(deviation > 1e-5, deviation, 1)
    wanted, places = np.eye(3)[labels], np.arange(len(labels))
    outputs, errors = [], []
    for penalty in _PENALTIES * len(labels):
        said = np.empty((len(labels), 3))
        for place in places:
            rest = places != place
            said[[place]] = (
                Ridge(penalty).fit(scaled[rest], wanted[rest], sample_weight=weights[rest]).predict(scaled[[place]])
            )
        outputs.append(said)
        errors.append(weights @ ((wanted - said) ** 2).sum(axis=1))
    best = outputs[int(np.argmin(errors))]

    def loss(factor: float) -> float:
        return -float(weights @ log_softmax(best * factor, axis=1)[places, labels])

    factor = minimize_scalar(loss, bounds=(0, 100), method="bounded", options={"xatol": 1e-8}).x
    found: np.ndarray = np.exp(log_softmax(best * factor, axis=1)[places, labels])
    return found


def test_probabilities_are_those_of_a_fit_without_each_image() -> None:
    features, labels = _points()
    expected = _refitted(features.astype(np.float64), labels)
    np.testing.assert_allclose(left_out_probabilities(features, labels), expected, atol=1e-3)


@pytest.mark.parametrize("width", [8, 200])
def test_a_wrong_label_stands_out(width: int) -> None:
    generator, labels = np.random.default_rng(5), np.repeat(np.arange(3), _SIZES)
    features = generator.normal(0, 1, (3, width))[labels] + generator.normal(0, 0.5, (len(labels), width))
    given = labels.copy()
    given[[4, 33]] = 1, 0
    found = left_out_probabilities(features, given)
    assert sorted(np.argsort(found)[:2].tolist()) == [4, 33]


def test_labels_are_names_and_no_numbers() -> None:
    features, labels = _points()
    np.testing.assert_allclose(
        left_out_probabilities(features, labels * 5 + 2), left_out_probabilities(features, labels)
    )
    assert np.isnan(left_out_probabilities(features, np.full(len(labels), 4))).all()


def test_an_image_that_is_alone_in_its_class_is_improbable() -> None:
    features, labels = _points()
    labels[labels == 2] = 1
    labels[0] = 2
    found = left_out_probabilities(features, labels)
    assert np.isfinite(found).all()
    assert found[0] < 1 / 3
