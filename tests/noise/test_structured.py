from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from scipy import ndimage, stats

from noisegate.noise.drawing import noise_chunks, noise_images
from noisegate.noise.structured import STRUCTURED_KINDS, StructuredKind, StructuredNoise, _smoothed
from tests.noise.test_drawing import exact_moments

SCALES = np.arange(0.5, 4.01, 0.125)


def training_images(image_size: int, count: int = 20) -> np.ndarray:
    """Every pixel says which image it is from, and from where: number, row, column."""
    images = np.empty((count, image_size, image_size, 3), dtype=np.uint8)
    images[..., 0] = np.arange(count)[:, None, None]
    images[..., 1], images[..., 2] = np.mgrid[:image_size, :image_size]
    return images


def draw(*kinds: StructuredKind, count: int = 1000, image_size: int = 32, seed: int = 0) -> np.ndarray:
    spec = StructuredNoise(family="structured", kinds=list(kinds))
    return noise_images(np.random.default_rng(seed), spec, count, image_size, training_images(image_size))


def test_every_kind_of_the_spec_can_be_drawn_at_any_size() -> None:
    assert tuple(STRUCTURED_KINDS) == get_args(StructuredKind)
    for image_size in (8, 9, 33, 100):
        images = draw(*STRUCTURED_KINDS, count=16, image_size=image_size)
        assert (images.shape, images.dtype) == ((16, image_size, image_size, 3), np.dtype(np.uint8))


def test_kinds_come_in_the_order_of_the_table_in_equal_parts_and_the_first_take_what_is_left_over() -> None:
    images = draw("solid", "patches", "uniform", count=11)
    groups = StructuredNoise(family="structured", kinds=["solid", "patches", "uniform"]).groups()
    assert [group.kinds for group in groups] == [["uniform"], ["patches"], ["solid"]]
    assert [len(colours_of(image)) > 900 for image in images] == [True] * 8 + [False] * 3
    assert [bool((image[..., 0] == image[0, 0, 0]).all()) for image in images] == [False] * 4 + [True] * 7


def test_uniform_takes_each_level_equally_often() -> None:
    assert stats.chisquare(np.bincount(draw("uniform").ravel(), minlength=256)).pvalue > 1e-4


def test_gaussian_has_a_mean_and_a_std_an_image() -> None:
    images = draw("gaussian", count=4000, image_size=16).reshape(4000, -1)
    exact = np.array([exact_moments(mean, std) for mean in range(60, 191, 5) for std in range(15, 91, 3)])
    for found, expected in ((images.mean(axis=1), exact[:, 0]), (images.std(axis=1), exact[:, 1])):
        assert stats.ks_2samp(found, expected).statistic < 0.05
        assert found.min() == pytest.approx(expected.min(), abs=5)
        assert found.max() == pytest.approx(expected.max(), abs=5)


@pytest.mark.parametrize("scale", [0.5, 1.125, 4])
def test_smoothing_is_gaussian_and_keeps_the_spread_of_every_pixel(scale: float) -> None:
    values = np.random.default_rng(0).standard_normal((400, 32, 32, 3), dtype=np.float32)
    smoothed = _smoothed(values, scale)
    oracle = ndimage.gaussian_filter(values.astype(np.float64), scale, axes=(1, 2), mode="wrap", truncate=3)
    assert np.corrcoef(smoothed.ravel(), oracle.ravel())[0, 1] > 0.9999
    assert np.abs(smoothed.std(axis=(0, 3)) - 1).max() < 0.2
    assert smoothed.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("scale", [0.5, 1.125, 4])
def test_smoothing_is_exact_in_any_order_of_summation(scale: float) -> None:
    values = np.random.default_rng(0).standard_normal((10, 32, 32, 3), dtype=np.float32)
    assert np.array_equal(_smoothed(values, scale), _smoothed(values.swapaxes(1, 2), scale).swapaxes(1, 2))
    rolled = np.roll(values, (5, 11), axis=(1, 2))
    assert np.array_equal(np.roll(_smoothed(values, scale), (5, 11), axis=(1, 2)), _smoothed(rolled, scale))


def test_smooth_is_gray_correlated_in_every_other_image() -> None:
    images = draw("smooth", count=300).astype(np.float64).reshape(300, -1, 3)
    # Saturation bends the relation between two channels, so ranks are compared.
    correlations = np.array([stats.spearmanr(image[:, 0], image[:, 2]).statistic for image in images])
    assert np.median(correlations[::2]) > 0.99
    assert abs(correlations[1::2].mean()) < 0.05


def test_smooth_has_many_contrasts_and_scales() -> None:
    images = draw("smooth").astype(np.float64)
    stds = images.std(axis=(1, 2)).mean(axis=1)
    assert np.quantile(stds, [0.02, 0.98]) == pytest.approx([15, 72], abs=6)
    steps = np.abs(np.diff(images, axis=1)).mean(axis=(1, 2, 3)) / stds
    # Two normal values of correlation r differ by 2 · √((1 − r)/π) standard deviations on average.
    expected = [2 * np.sqrt((1 - neighbour_correlation(scale)) / np.pi) for scale in SCALES]
    assert np.quantile(steps, [0.02, 0.5, 0.98]) == pytest.approx(np.quantile(expected, [0.02, 0.5, 0.98]), rel=0.15)


@pytest.mark.parametrize("image_size", [16, 32, 64])
def test_two_colour_fields_have_two_colours_in_patches_that_grow_with_the_image(image_size: int) -> None:
    images = draw("two_colour", count=250, image_size=image_size)
    assert {len(colours_of(image)) for image in images} == {2}
    light = (images == images[:, :1, :1]).all(axis=3)
    assert (light.sum(axis=(1, 2)) == image_size**2 // 2).all()
    # Two normal values of correlation r have the same sign with probability 1/2 + asin(r)/π.
    correlations = np.array([neighbour_correlation(scale * image_size / 32) for scale in SCALES])
    expected = np.mean(0.5 + np.arcsin(correlations) / np.pi)
    assert (light[:, 1:] == light[:, :-1]).mean() == pytest.approx(expected, abs=0.02)


def test_gratings_are_square_waves_of_any_angle_in_two_colours() -> None:
    images = draw("grating", count=300)
    assert {len(colours_of(image)) for image in images} == {2}
    light = (images == images[:, :1, :1]).all(axis=3)
    waves = [main_wave(one) for one in light]
    periods = np.array([1 / np.hypot(*wave) for wave, _ in waves])
    assert 1.9 < periods.min() < 2.5
    assert 14.5 < periods.max() < 17.5
    # Near the finest period the pixel grid shows something coarser, so that angles and phases are read off wider stripes.
    wide = periods > 4
    angles = np.array([np.arctan2(*wave) % np.pi for wave, _ in waves])[wide]
    assert stats.kstest(angles, "uniform", args=(0, np.pi)).pvalue > 1e-4
    agreement = [
        np.mean(one == predicted) for one, (_, predicted), is_wide in zip(light, waves, wide, strict=True) if is_wide
    ]
    assert np.median(agreement) > 0.95
    assert np.min(agreement) > 0.8


@pytest.mark.parametrize(("image_size", "sizes"), [(32, [2, 4, 8]), (64, [4, 8, 16]), (20, [1, 2, 5]), (9, [1, 2])])
def test_patches_are_the_patches_of_one_training_image_each_once(image_size: int, sizes: list[int]) -> None:
    images = draw("patches", count=600, image_size=image_size)
    assert (images[..., 0] == images[:, :1, :1, 0]).all()
    assert stats.chisquare(np.bincount(images[:, 0, 0, 0], minlength=20)).pvalue > 1e-4
    original = training_images(image_size)[..., 1:]
    found = [largest_patch(image[..., 1:], original[0], sizes) for image in images]
    counts = np.array([found.count(size) for size in sizes])
    # Of a side of 9, patches of 2 and of 4 pixels both have a side of 1.
    expected = np.array([400, 200]) if image_size == 9 else np.full(3, 200)
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_each_place_takes_each_patch_equally_often() -> None:
    images = draw("patches", count=3000, image_size=8)
    original = training_images(8)[0, ..., 1:]
    shuffled = images[[largest_patch(image[..., 1:], original, [1, 2]) == 2 for image in images]]
    corner = shuffled[:, 0, 0, 1] // 2 * 4 + shuffled[:, 0, 0, 2] // 2
    assert stats.chisquare(np.bincount(corner, minlength=16)).pvalue > 1e-4


def test_solid_images_have_one_colour() -> None:
    images = draw("solid", count=5000, image_size=8)
    assert (images == images[:, :1, :1]).all()
    assert stats.chisquare(np.bincount(images[:, 0, 0].ravel(), minlength=256)).pvalue > 1e-4


def test_training_images_may_be_a_read_only_file_and_stay_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", training_images(32))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    spec = StructuredNoise(family="structured", kinds=["patches"])
    assert np.array_equal(noise_images(np.random.default_rng(0), spec, 50, 32, mapped), draw("patches", count=50))


@pytest.mark.parametrize("given", [None, training_images(32, count=0), training_images(16)])
def test_patches_need_training_images_of_the_same_size(given: np.ndarray | None) -> None:
    spec = StructuredNoise(family="structured", kinds=["patches", "uniform"])
    with pytest.raises(ValueError, match="training images"):
        next(noise_chunks(np.random.default_rng(0), spec, 10, 32, given))
    without = StructuredNoise(family="structured", kinds=["uniform"])
    assert noise_images(np.random.default_rng(0), without, 10, 32, given).shape == (10, 32, 32, 3)


def neighbour_correlation(scale: float) -> float:
    """Of independent values smoothed by a normal density of this width, in pixels, taken at whole pixels."""
    weights = np.exp(-0.5 * (np.arange(-40, 41) / scale) ** 2)
    return float(weights[1:] @ weights[:-1] / (weights @ weights))


def colours_of(image: np.ndarray) -> np.ndarray:
    return np.unique(image.reshape(-1, 3), axis=0)


def main_wave(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strongest frequency (cycles a pixel, vertical and horizontal) and the square wave that it alone would make."""
    padded = 256
    spectrum = np.fft.fft2(light - light.mean(), (padded, padded))
    row, column = np.unravel_index(np.abs(spectrum[:, : padded // 2]).argmax(), (padded, padded // 2))
    wave = np.array([np.fft.fftfreq(padded)[row], np.fft.fftfreq(padded)[column]])
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    phase = 2 * np.pi * (wave[0] * y + wave[1] * x) + np.angle(spectrum[row, column])
    return wave, np.cos(phase) > 0


def largest_patch(image: np.ndarray, original: np.ndarray, sizes: list[int]) -> int:
    """The largest of `sizes` for which `image` is `original` in other order; what no patch covers must be untouched."""
    for size in sorted(sizes, reverse=True):
        whole = len(image) // size * size
        same_border = np.array_equal(image[whole:], original[whole:])
        same_border &= np.array_equal(image[:, whole:], original[:, whole:])
        if same_border and cut(image[:whole, :whole], size) == cut(original[:whole, :whole], size):
            return size
    raise AssertionError("not a permutation of patches")


def cut(image: np.ndarray, size: int) -> list[bytes]:
    starts = range(0, len(image), size)
    return sorted(image[y : y + size, x : x + size].tobytes() for y in starts for x in starts)
