import tracemalloc

import numpy as np
import pytest
from scipy import stats

from noisegate.learning import noise
from noisegate.learning.noise import FAMILIES, noise_images
from noisegate.spec import GaussianNoise, NoiseFilter, NoiseSpec, UniformNoise

UNIFORM = UniformNoise(family="uniform")
GAUSSIAN = GaussianNoise(family="gaussian")


def draw(spec: NoiseSpec, count: int = 300, image_size: int = 16, seed: int = 0) -> np.ndarray:
    return noise_images(np.random.default_rng(seed), spec, count, image_size)


def test_every_family_of_the_spec_can_be_drawn() -> None:
    assert set(FAMILIES) == {"gaussian", "uniform"}
    for spec in (UNIFORM, GAUSSIAN):
        images = draw(spec, count=7, image_size=9)
        assert (images.shape, images.dtype) == ((7, 9, 9, 3), np.dtype(np.uint8))


def test_no_images_are_no_images() -> None:
    assert draw(UNIFORM, count=0).shape == (0, 16, 16, 3)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (127, 177), (5, 5), (0, 1), (254, 255)])
def test_uniform_takes_each_level_equally_often_ends_included(low: int, high: int) -> None:
    images = draw(UniformNoise(family="uniform", low=low, high=high))
    counts = np.bincount(images.ravel(), minlength=256)
    assert counts.sum() == counts[low : high + 1].sum()
    if low < high:
        assert stats.chisquare(counts[low : high + 1]).pvalue > 1e-4
    assert counts[low] > 0
    assert counts[high] > 0


@pytest.mark.parametrize(("mean", "std"), [(127, 70), (31, 70), (223, 70), (127, 10), (127, 150), (127.4, 0)])
def test_gaussian_is_a_rounded_and_saturated_normal(mean: float, std: float) -> None:
    counts = np.bincount(draw(GaussianNoise(family="gaussian", mean=mean, std=std)).ravel(), minlength=256)
    if std == 0:
        assert counts[127] == counts.sum()
        return
    upper_ends = np.append(np.arange(255) + 0.5, np.inf)
    expected = counts.sum() * np.diff(stats.norm.cdf(upper_ends, mean, std), prepend=0.0)
    likely = expected > 20
    observed = np.append(counts[likely], counts[~likely].sum())
    assert stats.chisquare(observed, np.append(expected[likely], expected[~likely].sum()) + 1e-9).pvalue > 1e-4


def test_pixels_and_channels_are_independent() -> None:
    images = draw(GAUSSIAN, count=2000, image_size=8).astype(np.float64)
    values = images.reshape(len(images), -1)
    correlations = np.asarray(np.corrcoef(values, rowvar=False))[np.triu_indices(values.shape[1], k=1)]
    assert np.abs(correlations).max() < 6 / np.sqrt(len(images))


@pytest.mark.parametrize("kind", ["mean", "median"])
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("family", [UNIFORM, GAUSSIAN])
def test_filters_match_a_loop_over_pixels(kind: str, size: int, family: NoiseSpec) -> None:
    filtered = family.model_copy(update={"filter": NoiseFilter.model_validate({"kind": kind, "size": size})})
    plain = draw(family, count=2, image_size=9)
    assert np.array_equal(draw(filtered, count=2, image_size=9), filtered_by_loops(plain, kind, size))


@pytest.mark.parametrize("kind", ["mean", "median"])
def test_a_filter_of_size_one_changes_nothing(kind: str) -> None:
    filtered = UNIFORM.model_copy(update={"filter": NoiseFilter.model_validate({"kind": kind, "size": 1})})
    assert np.array_equal(draw(filtered), draw(UNIFORM))


def test_a_seed_decides_every_byte() -> None:
    assert np.array_equal(draw(GAUSSIAN, seed=3), draw(GAUSSIAN, seed=3))
    assert not np.array_equal(draw(GAUSSIAN, seed=3), draw(GAUSSIAN, seed=4))


@pytest.mark.parametrize("spec", [UNIFORM, GAUSSIAN])
def test_chunks_leave_no_seams(spec: NoiseSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(spec, count=50)
    monkeypatch.setattr(noise, "_CHUNK_VALUES", 7 * 16 * 16 * 3)
    pieces = draw(spec, count=50)
    assert np.array_equal(whole, pieces)
    assert len(np.unique(pieces.reshape(50, -1), axis=0)) == 50


def test_memory_stays_near_one_copy() -> None:
    tracemalloc.start()
    try:
        images = draw(GAUSSIAN, count=30_000, image_size=32)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes + 80 * 2**20


def filtered_by_loops(images: np.ndarray, kind: str, size: int) -> np.ndarray:
    """The definition, pixel by pixel: circular borders for the mean, symmetric ones for the median."""
    side, reach = images.shape[1], size // 2
    offsets = range(-reach, reach + 1)
    border = circular if kind == "mean" else symmetric
    result = np.empty_like(images)
    for n, y, x, channel in np.ndindex(images.shape):
        window = [int(images[n, border(y + i, side), border(x + j, side), channel]) for i in offsets for j in offsets]
        result[n, y, x, channel] = (
            round(sum(window) / len(window)) if kind == "mean" else sorted(window)[len(window) // 2]
        )
    return result


def circular(index: int, side: int) -> int:
    return index % side


def symmetric(index: int, side: int) -> int:
    if index < 0:
        return -index - 1
    return 2 * side - 1 - index if index >= side else index
