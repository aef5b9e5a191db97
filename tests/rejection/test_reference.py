import dataclasses

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.rejection.reference import DamagedReference, Reference, compute_scores
from tests.conftest import examples
from tests.rejection.manifests import SCORE_NAMES, reference

# Ties are where ranks go wrong, and sixteenths stay exact through every sum.
VALUES = st.integers(0, 16).map(lambda sixteenths: sixteenths / 16)


def of_holdout(by_class: list[list[float]]) -> Reference:
    rising = [sorted(scores) for scores in by_class]
    return dataclasses.replace(
        reference(len(by_class)),
        nonconformity=np.concatenate([np.array(scores, dtype=float) for scores in rising]),
        class_counts=np.array([len(scores) for scores in rising]),
        reject_scores=np.sort([score for scores in rising for score in scores]),
    )


@settings(deadline=None, max_examples=examples(200))
@given(
    by_class=st.lists(st.lists(VALUES, max_size=12), min_size=1, max_size=4).filter(lambda some: any(some)),
    data=st.data(),
)
def test_p_values_count_what_conforms_no_better(by_class: list[list[float]], data: st.DataObject) -> None:
    image = data.draw(st.lists(VALUES, min_size=len(by_class), max_size=len(by_class)))
    scores = np.array(image)
    found = of_holdout(by_class)
    (values,) = found.p_values((1 - scores)[np.newaxis])
    for value, score, known in zip(values, scores, by_class, strict=True):
        assert value == pytest.approx((1 + sum(other >= score for other in known)) / (1 + len(known)), rel=1e-12)
    every = [score for known in by_class for score in known]
    (of_known,) = found.known_p_values(scores[:1])
    assert of_known == pytest.approx((1 + sum(other >= scores[0] for other in every)) / (1 + len(every)), rel=1e-12)


def test_of_images_like_the_holdout_a_share_p_has_a_p_value_up_to_p() -> None:
    """The promise itself, over many draws of holdout and image: P(p-value ≤ p) ≤ p, and close to it."""
    generator = np.random.default_rng(0)
    values = []
    for _ in range(4000):
        drawn = generator.beta(2, 5, 20)
        found = of_holdout([drawn[:19].tolist()])
        values.append((found.p_values(1 - drawn[19:, np.newaxis])[0, 0], found.known_p_values(drawn[19:])[0]))
    for level in (0.05, 0.1, 0.5, 0.9):
        for column in np.array(values).T:
            # Three standard errors of a share.
            assert (column <= level + 1e-9).mean() == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 4000))


def test_bytes_and_back() -> None:
    first = reference(3, width=5)
    second = Reference.from_bytes(first.to_bytes())
    assert second.to_bytes() == first.to_bytes()
    assert (second.levels, second.nbytes) == (1001, first.nbytes)
    features = np.random.default_rng(0).random((4, 5))
    expected, found = (compute_scores(features[:, :3], features, one) for one in (first, second))
    assert list(found) == list(expected) == list(SCORE_NAMES)
    for name, values in expected.items():
        np.testing.assert_array_equal(values, found[name])


def _tensors() -> dict[str, np.ndarray]:
    loaded: dict[str, np.ndarray] = safetensors.numpy.load(reference(2).to_bytes())
    return loaded


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        reference(2).to_bytes()[:-1],
        safetensors.numpy.save({name: array for name, array in _tensors().items() if name != "quantiles.knn"}),
        safetensors.numpy.save(_tensors() | {"class_counts": np.array([10, 11])}),
        safetensors.numpy.save(_tensors() | {"neighbours": np.empty(0, np.int64)}),
        safetensors.numpy.save(_tensors() | {"quantiles.msp": np.zeros(11)}),
        safetensors.numpy.save({name: array for name, array in _tensors().items() if "quantiles" not in name}),
        safetensors.numpy.save({name: array for name, array in _tensors().items() if name != "reject_scores"}),
    ],
)
def test_damage_is_told(data: bytes) -> None:
    with pytest.raises(DamagedReference):
        Reference.from_bytes(data)


def test_thresholds_lie_on_the_side_of_the_unknown() -> None:
    found = reference(2)
    levels = np.array([1000, 950])
    for name in SCORE_NAMES:
        expected = [1.0, 0.95] if name in ("entropy", "knn", "mahalanobis", "vim") else [-1.0, -0.95]
        assert found.thresholds(name, levels).tolist() == pytest.approx(expected)
