from pathlib import Path

import numpy as np
import pytest
from scipy.special import entr, logsumexp, softmax
from sklearn.neighbors import NearestNeighbors

from noisegate.rejection import SCORES, describe_scores
from noisegate.rejection.knn import knn_distances, unit_rows
from noisegate.rejection.reference import compute_scores
from noisegate.rejection.scores import softmax as our_softmax
from tests.rejection.manifests import SCORE_NAMES

ROOT = Path(__file__).parents[2]


def logit_scores(logits: np.ndarray) -> dict[str, np.ndarray]:
    return compute_scores(logits, np.zeros((len(logits), 1)), None)


def test_logit_scores_are_scipys() -> None:
    logits = np.random.default_rng(0).normal(0, 5, (50, 7))
    found = logit_scores(logits)
    shares = softmax(logits, axis=1)
    np.testing.assert_allclose(our_softmax(logits), shares, rtol=1e-12)
    np.testing.assert_allclose(found["msp"], shares.max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found["max_logit"], logits.max(axis=1))
    np.testing.assert_allclose(found["energy"], logsumexp(logits, axis=1), rtol=1e-12)
    np.testing.assert_allclose(found["entropy"], entr(shares).sum(axis=1), rtol=1e-9, atol=1e-12)


def test_logits_far_apart_overflow_nothing() -> None:
    found = logit_scores(np.array([[1e4, -1e4], [-1e4, -1e4]], dtype=np.float32))
    assert found["msp"] == pytest.approx([1.0, 0.5])
    assert found["energy"] == pytest.approx([1e4, -1e4 + np.log(2)])
    assert found["entropy"] == pytest.approx([0.0, np.log(2)])


@pytest.mark.parametrize("neighbours", [1, 5, 40])
def test_knn_distances_are_scikit_learns(neighbours: int) -> None:
    generator = np.random.default_rng(1)
    reference, features = unit_rows(generator.random((40, 6))), generator.random((9, 6)).astype(np.float32)
    search = NearestNeighbors(n_neighbors=neighbours).fit(reference)
    expected = search.kneighbors(unit_rows(features))[0][:, -1]
    np.testing.assert_allclose(knn_distances(features, reference, neighbours), expected, atol=1e-3)


def test_with_fewer_rows_than_neighbours_the_farthest_counts() -> None:
    reference = np.array([[1, 0], [0, 1]], dtype=np.float32)
    assert knn_distances(np.array([[3.0, 0.0]]), reference, 5) == pytest.approx([np.sqrt(2)])
    # Nothing to compare by: as far from everything as a right angle.
    assert knn_distances(np.zeros((1, 2)), reference, 1) == pytest.approx([np.sqrt(2)])


@pytest.mark.parametrize("name", SCORE_NAMES)
def test_a_sharper_image_is_less_unknown_by_every_score(name: str) -> None:
    found = logit_scores(np.array([[9.0, 0.0], [0.1, 0.0]])) | dict.fromkeys(
        ("knn", "mahalanobis", "vim"), np.array([0.1, 0.9])
    )
    certain, doubtful = SCORES[name].unknownness(found[name])
    assert certain < doubtful


def test_the_energy_is_the_literatures_with_its_sign_turned() -> None:
    logits = np.array([[4.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    free_energy = [-np.log(np.exp(row).sum()) for row in logits]
    np.testing.assert_allclose(logit_scores(logits)["energy"], np.negative(free_energy))
    assert SCORES["energy"].higher_means == "known"
    assert "negative energy" in SCORES["energy"].description


def test_each_score_is_explained() -> None:
    table = (ROOT / "docs/scores.md").read_text()
    for name, scorer in SCORES.items():
        assert scorer.name == name
        assert f"| `{name}`" in table
    directions = {"msp": "known", "max_logit": "known", "energy": "known", "entropy": "unknown"}
    directions |= dict.fromkeys(("knn", "mahalanobis", "vim"), "unknown")
    described = describe_scores().split("; ")
    assert [one.partition(":")[0].strip("`") for one in described] == list(directions)
    assert [one.rpartition("higher = more ")[2].strip(")") for one in described] == list(directions.values())
