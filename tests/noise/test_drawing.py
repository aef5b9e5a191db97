import tracemalloc

import numpy as np
import pytest
from scipy import stats

from noisegate.noise import (
    FAMILIES,
    DatasetImages,
    GaussianNoise,
    GrayNoise,
    MixtureNoise,
    NoiseFamily,
    SolidNoise,
    StructuredNoise,
    UniformNoise,
)
from noisegate.noise import drawing as noise
from noisegate.noise.drawing import noise_chunks, noise_images
from noisegate.noise.filters import NoiseFilter

UNIFORM = UniformNoise(family="uniform")
GAUSSIAN = GaussianNoise(family="gaussian")
SOLID = SolidNoise(family="solid")
GRAY = GrayNoise(family="gray")
MIXTURE = MixtureNoise(family="mixture", means=[60, 127, 190], stds=[10, 70], filter_sizes=[1, 3])
# Patches need training images; test_structured.py has them.
STRUCTURED = StructuredNoise(family="structured", kinds=["gaussian", "smooth", "two_colour", "grating"])
EVERY_FAMILY: list[NoiseFamily] = [GAUSSIAN, UNIFORM, SOLID, GRAY, MIXTURE, STRUCTURED]


def draw(spec: NoiseFamily, count: int = 300, image_size: int = 16, seed: int = 0) -> np.ndarray:
    return noise_images(np.random.default_rng(seed), spec, count, image_size)


def test_every_family_is_drawn_here() -> None:
    drawn = {name: family for name, family in FAMILIES.items() if family is not DatasetImages}  # taken, not drawn
    assert {name: type(spec) for name, spec in zip(drawn, EVERY_FAMILY, strict=True)} == drawn
    assert [spec.family for spec in EVERY_FAMILY] == list(drawn)


@pytest.mark.parametrize("spec", EVERY_FAMILY)
@pytest.mark.parametrize("count", [0, 1, 7])
def test_as_many_images_as_asked_for(spec: NoiseFamily, count: int) -> None:
    images = draw(spec, count=count, image_size=9)
    assert (images.shape, images.dtype) == ((count, 9, 9, 3), np.dtype(np.uint8))


@pytest.mark.parametrize(("low", "high"), [(0, 255), (127, 177), (5, 5), (0, 1), (254, 255)])
def test_uniform_takes_each_level_equally_often_ends_included(low: int, high: int) -> None:
    images = draw(UniformNoise(family="uniform", low=low, high=high))
    counts = np.bincount(images.ravel(), minlength=256)
    assert counts.sum() == counts[low : high + 1].sum()
    if low < high:
        assert stats.chisquare(counts[low : high + 1]).pvalue > 1e-4
    assert counts[low] > 0
    assert counts[high] > 0


@pytest.mark.parametrize(("mean", "std"), [(127, 70), (31, 70), (223, 70), (127, 10), (127, 150), (127.5, 1)])
def test_gaussian_is_a_rounded_and_saturated_normal(mean: float, std: float) -> None:
    counts = np.bincount(draw(GaussianNoise(family="gaussian", mean=mean, std=std)).ravel(), minlength=256)
    expected = counts.sum() * level_probabilities(mean, std)
    likely = expected > 20
    observed = np.append(counts[likely], counts[~likely].sum())
    assert stats.chisquare(observed, np.append(expected[likely], expected[~likely].sum()) + 1e-9).pvalue > 1e-4


@pytest.mark.parametrize(("mean", "level"), [(127.4, 127), (127.5, 128), (126.5, 126), (-3, 0), (300, 255)])
def test_without_spread_all_is_the_mean_rounded_half_to_even(mean: float, level: int) -> None:
    assert (draw(GaussianNoise(family="gaussian", mean=mean, std=0)) == level).all()


def test_pixels_and_channels_are_independent() -> None:
    images = draw(GAUSSIAN, count=2000, image_size=8).astype(np.float64)
    values = images.reshape(len(images), -1)
    correlations = np.asarray(np.corrcoef(values, rowvar=False))[np.triu_indices(values.shape[1], k=1)]
    assert np.abs(correlations).max() < 6 / np.sqrt(len(images))


@pytest.mark.parametrize("kind", ["mean", "median"])
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("family", [UNIFORM, GAUSSIAN])
def test_filters_match_a_loop_over_pixels(kind: str, size: int, family: NoiseFamily) -> None:
    filtered = family.model_copy(update={"filter": NoiseFilter.model_validate({"kind": kind, "size": size})})
    plain = draw(family, count=2, image_size=9)
    assert np.array_equal(draw(filtered, count=2, image_size=9), filtered_by_loops(plain, kind, size))


@pytest.mark.parametrize("kind", ["mean", "median"])
def test_a_filter_of_size_one_changes_nothing(kind: str) -> None:
    filtered = UNIFORM.model_copy(update={"filter": NoiseFilter.model_validate({"kind": kind, "size": 1})})
    assert np.array_equal(draw(filtered), draw(UNIFORM))


@pytest.mark.parametrize("spec", [SOLID, GRAY])
def test_one_random_colour_an_image(spec: NoiseFamily) -> None:
    images = draw(spec, count=20_000, image_size=2)
    assert (images == images[:, :1, :1]).all()
    colours = images[:, 0, 0].astype(np.int64)
    for channel in range(3):
        assert stats.chisquare(np.bincount(colours[:, channel], minlength=256)).pvalue > 1e-4
    correlation = np.asarray(np.corrcoef(colours, rowvar=False))[np.triu_indices(3, k=1)]
    expected = 1 if spec is GRAY else 0
    assert np.abs(correlation - expected).max() < 6 / np.sqrt(len(images))


def test_groups_of_a_mixture_are_the_product_the_last_changing_fastest() -> None:
    groups = [(group.mean, group.std, group.filter) for group in MIXTURE.groups() if group.family == "gaussian"]
    one, three = NoiseFilter(kind="mean", size=1), NoiseFilter(kind="mean", size=3)
    assert groups == [
        *[(60, 10, one), (60, 10, three), (60, 70, one), (60, 70, three)],
        *[(127, 10, one), (127, 10, three), (127, 70, one), (127, 70, three)],
        *[(190, 10, one), (190, 10, three), (190, 70, one), (190, 70, three)],
    ]


@pytest.mark.parametrize(("count", "sizes"), [(0, [0, 0, 0]), (2, [1, 1, 0]), (9, [3, 3, 3]), (11, [4, 4, 3])])
def test_groups_are_equal_and_the_first_take_what_is_left_over(count: int, sizes: list[int]) -> None:
    levels = draw(MixtureNoise(family="mixture", means=[10, 20, 30], stds=[0]), count=count)[:, 0, 0, 0]
    assert levels.tolist() == np.repeat([10, 20, 30], sizes).tolist()


def test_each_group_of_a_mixture_has_its_mean_and_std() -> None:
    groups = draw(MIXTURE, count=12 * 200, image_size=12).reshape(12, -1)
    for images, group in zip(groups, MIXTURE.groups(), strict=True):
        assert isinstance(group, GaussianNoise)
        assert group.filter
        mean, std = exact_moments(group.mean, group.std)
        if group.filter.size == 3:
            # The mean of nine independent values, rounded again: rounding adds the variance of a uniform of width 1.
            std = float(np.sqrt(std**2 / 9 + 1 / 12))
        assert images.mean() == pytest.approx(mean, abs=0.01 * group.std)
        assert images.std() == pytest.approx(std, rel=0.02)


def test_a_group_is_drawn_as_gaussian_noise_is() -> None:
    mixture = MixtureNoise(family="mixture", means=[63], stds=[40], filter_kind="median", filter_sizes=[5])
    gaussian = GaussianNoise(family="gaussian", mean=63, std=40, filter=NoiseFilter(kind="median", size=5))
    assert np.array_equal(draw(mixture), draw(gaussian))


@pytest.mark.parametrize("spec", EVERY_FAMILY)
def test_a_seed_decides_every_byte(spec: NoiseFamily) -> None:
    assert np.array_equal(draw(spec, seed=3), draw(spec, seed=3))
    assert not np.array_equal(draw(spec, seed=3), draw(spec, seed=4))


@pytest.mark.parametrize("spec", [UNIFORM, GAUSSIAN])
def test_chunks_leave_no_seams(spec: NoiseFamily, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(spec, count=50)
    monkeypatch.setattr(noise, "_CHUNK_VALUES", 7 * 16 * 16 * 3)
    pieces = draw(spec, count=50)
    assert np.array_equal(whole, pieces)
    assert len(np.unique(pieces.reshape(50, -1), axis=0)) == 50


@pytest.mark.parametrize("spec", EVERY_FAMILY)
def test_chunks_follow_each_other_without_gaps_and_none_is_empty(
    spec: NoiseFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "_CHUNK_VALUES", 7 * 8 * 8 * 3)
    places = [(place, len(chunk)) for place, chunk in noise_chunks(np.random.default_rng(0), spec, 100, 8)]
    assert [i for place, _ in places for i in range(place.start, place.stop)] == list(range(100))
    assert all(0 < place.stop - place.start == length <= 7 for place, length in places)


@pytest.mark.parametrize("spec", [GAUSSIAN, MIXTURE, STRUCTURED])
def test_memory_of_chunks_does_not_grow_with_their_number(spec: NoiseFamily) -> None:
    # 8,000 images have 24.6 MB as bytes, 98 MB as float32.
    generator = np.random.default_rng(0)
    tracemalloc.start()
    try:
        count = sum(len(chunk) for _, chunk in noise_chunks(generator, spec, 8_000, 32))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 8_000
    assert peak < 72 * 2**20


def test_memory_stays_near_one_copy() -> None:
    tracemalloc.start()
    try:
        images = draw(GAUSSIAN, count=30_000, image_size=32)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes + 80 * 2**20


def level_probabilities(mean: float, std: float) -> np.ndarray:
    """How often a normal value, rounded and saturated, is each of the levels 0 … 255."""
    upper_ends = np.append(np.arange(255) + 0.5, np.inf)
    return np.diff(stats.norm.cdf(upper_ends, mean, std), prepend=0.0)


def exact_moments(mean: float, std: float) -> tuple[float, float]:
    """Mean and standard deviation of a normal value, rounded and saturated."""
    probabilities, levels = level_probabilities(mean, std), np.arange(256)
    first = float(probabilities @ levels)
    return first, float(np.sqrt(probabilities @ (levels - first) ** 2))


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
