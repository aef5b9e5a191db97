import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.evaluation.metrics import table1
from noisegate.rejection.scores import softmax


def test_a_table_worked_out_by_hand() -> None:
    probabilities = np.array(
        [
            [0.7, 0.2, 0.1],  # cat, called cat
            [0.1, 0.6, 0.3],  # cat, called dog
            [0.2, 0.3, 0.5],  # dog, called noise: wrong
            [0.1, 0.9, 0.0],  # dog, called dog
        ]
    )
    labels = np.array([0, 0, 1, 1])
    metrics = table1(probabilities, labels, 2, rejected=np.array([False, False, True, False]))
    assert metrics.test_images == 4
    assert metrics.accuracy == 0.5
    assert metrics.confidence == pytest.approx((0.7 + 0.9) / 2)
    assert metrics.spuriousness == pytest.approx((0.6 + 0.5) / 2)
    assert metrics.true_class_probability == pytest.approx((0.1 + 0.3) / 2)
    assert metrics.noise_per_10000 == 2500
    assert metrics.false_reject == 0.25


def test_without_noise_class_or_threshold() -> None:
    metrics = table1(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), 2, rejected=None)
    assert metrics.noise_per_10000 == 0
    assert metrics.false_reject is None


def test_nothing_qualifies() -> None:
    all_correct = table1(np.array([[0.9, 0.1]]), np.array([0]), 2, rejected=None)
    assert (all_correct.confidence, all_correct.spuriousness, all_correct.true_class_probability) == (0.9, None, None)
    all_wrong = table1(np.array([[0.9, 0.1]]), np.array([1]), 2, rejected=None)
    assert (all_wrong.confidence, all_wrong.spuriousness, all_wrong.true_class_probability) == (None, 0.9, 0.1)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), images=st.integers(1, 40), known=st.integers(2, 5), noise=st.booleans())
def test_against_plain_loops(seed: int, images: int, known: int, noise: bool) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(known + noise, 0.5), images)
    labels = generator.integers(0, known, images)
    rejected = generator.random(images) < 0.3
    metrics = table1(probabilities, labels, known, rejected=rejected)
    oracle = by_loops(probabilities.tolist(), labels.tolist(), known, rejected.tolist())
    assert metrics.model_dump(exclude={"test_images"}) == pytest.approx(oracle)


def test_softmax_is_over_all_outputs_and_keeps_small_differences() -> None:
    probabilities = softmax(np.array([[0, 30, 0], [1, 2, 3]], dtype=np.float32))
    assert probabilities[1] == pytest.approx(np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum())
    assert 1 - probabilities[0, 1] == pytest.approx(2 * np.exp(-30.0), rel=1e-2, abs=0)


def by_loops(
    probabilities: list[list[float]], labels: list[int], known: int, rejected: list[bool]
) -> dict[str, float | None]:
    correct, wrong, of_true, called_noise = [], [], [], 0
    for row, label in zip(probabilities, labels, strict=True):
        called = max(range(len(row)), key=row.__getitem__)
        called_noise += called == known
        if called == label:
            correct.append(row[called])
        else:
            wrong.append(row[called])
            of_true.append(row[label])
    return {
        "accuracy": len(correct) / len(labels),
        "confidence": sum(correct) / len(correct) if correct else None,
        "spuriousness": sum(wrong) / len(wrong) if wrong else None,
        "true_class_probability": sum(of_true) / len(of_true) if of_true else None,
        "noise_per_10000": called_noise / len(labels) * 10_000,
        "false_reject": sum(rejected) / len(labels),
    }
