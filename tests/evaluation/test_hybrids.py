import math

import numpy as np
import pytest
from scipy import ndimage

from noisegate.evaluation.hybrids import hybrid


def constant(level: int, height: int = 12, width: int = 12) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def random_images(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def wave(cycles: float, size: int, amplitude: float) -> np.ndarray:
    """Gray 128 with a cosine from left to right, a whole or half number of cycles: its mirror image continues it."""
    row = 128 + amplitude * np.cos(2 * np.pi * cycles * (np.arange(size) + 0.5) / size)
    return np.broadcast_to(np.rint(row).astype(np.uint8)[np.newaxis, :, np.newaxis], (size, size, 3)).copy()


def amplitude(image: np.ndarray, cycles: float) -> float:
    """Of the cosine that `wave` makes, in the first channel of each row."""
    size = image.shape[1]
    basis = np.cos(2 * np.pi * cycles * (np.arange(size) + 0.5) / size)
    return float(2 / size * (image[:, :, 0] @ basis).mean())


def test_of_two_constants_only_the_low_one_is_left() -> None:
    assert hybrid(constant(70), constant(200), 4, 4).tolist() == constant(70).tolist()


@pytest.mark.parametrize("cutoff", [0.3, 4, 16, 1000])
def test_an_image_with_itself_is_that_image(cutoff: float) -> None:
    image = random_images(1, 17, 32)
    assert hybrid(image, image, cutoff, cutoff).tolist() == image.tolist()


def test_a_wave_at_the_cutoff_is_halved_by_either_filter() -> None:
    low = hybrid(wave(5, 64, 100), constant(90, 64, 64), 5, 3)
    assert amplitude(low, 5) == pytest.approx(50, abs=0.5)
    high = hybrid(constant(90, 64, 64), wave(5, 64, 100), 3, 5)
    assert amplitude(high, 5) == pytest.approx(50, abs=0.5)
    assert high.mean() == pytest.approx(90, abs=0.1)


def test_low_loses_what_high_keeps() -> None:
    # 2^−(10/5)² of an amplitude is 1/16; at a third of the cutoff, 2^−(1/9) is left.
    assert amplitude(hybrid(wave(10, 64, 96), constant(0, 64, 64), 5, 5), 10) == pytest.approx(6, abs=0.5)
    assert amplitude(hybrid(constant(128, 64, 64), wave(10, 64, 96), 5, 5), 10) == pytest.approx(90, abs=0.5)
    assert amplitude(hybrid(wave(2, 64, 96), constant(0, 64, 64), 6, 5), 2) == pytest.approx(
        96 * 2 ** (-1 / 9), abs=0.5
    )


def test_a_huge_cutoff_keeps_everything_of_low_and_nothing_of_high() -> None:
    low, high = random_images(1, 32, 32), random_images(2, 32, 32)
    assert hybrid(low, high, 4096, 4096).tolist() == low.tolist()


@pytest.mark.parametrize("cutoff", [1e-3, 5e-324])
def test_a_tiny_cutoff_keeps_lows_mean_colour_and_all_detail_of_high(cutoff: float) -> None:
    low, high = random_images(1, 32, 32), random_images(2, 32, 32) // 4 + 90
    expected = low.mean(axis=(0, 1)) + high - high.mean(axis=(0, 1))
    assert np.abs(hybrid(low, high, cutoff, cutoff) - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("height", "width"), [(48, 48), (40, 90), (31, 33)])
def test_it_is_the_gaussian_filter_of_scipy_with_mirrored_borders(height: int, width: int) -> None:
    low, high = random_images(1, height, width), random_images(2, height, width) // 4

    def blurred(image: np.ndarray, cutoff: float) -> np.ndarray:
        sigma = math.sqrt(math.log(2) / 2) / math.pi * min(height, width) / cutoff
        return ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="reflect", truncate=8)

    expected = np.clip(blurred(low, 3) + high - blurred(high, 5), 0, 255)
    assert np.abs(hybrid(low, high, 3, 5) - expected).max() <= 0.51


@pytest.mark.parametrize("transposed", [False, True])
def test_the_gain_by_an_independent_spectrum_of_random_images(transposed: bool) -> None:
    # White noise along the longer side; input and output compared in windows well within the image.
    levels = np.random.default_rng(3).integers(64, 192, (64, 1, 512, 1), dtype=np.uint8)
    images = np.broadcast_to(levels, (64, 16, 512, 3))
    images = images.swapaxes(1, 2) if transposed else images
    filtered = hybrid(images, np.full_like(images, 9), 4, 4)
    pairs = zip(*(windows(array.swapaxes(1, 2) if transposed else array) for array in (images, filtered)), strict=True)
    cross, power = np.zeros(65, complex), np.zeros(65)
    for before, after in pairs:
        cross += after * before.conj()
        power += np.abs(before) ** 2
    cycles = np.arange(65) / 128 * 16
    gain = np.abs(cross / power)
    # Near 0 the window mixes in the mean, which is not filtered.
    assert np.abs(gain - np.exp(-math.log(2) * (cycles / 4) ** 2))[3:].max() < 0.02
    assert gain[32] == pytest.approx(0.5, abs=0.01)


def windows(images: np.ndarray) -> list[np.ndarray]:
    rows = images[:, 8, :, 0] - images[:, 8, :, 0].mean()
    taper = np.hanning(128)
    return [np.fft.rfft(row[start : start + 128] * taper) for row in rows for start in range(64, 321, 64)]


def test_borders_mirror_and_do_not_wrap_around() -> None:
    half = constant(0, 32, 32)
    half[:, 16:] = 255
    mixed = hybrid(half, constant(0, 32, 32), 4, 4)
    assert mixed[:, 0].max() == 0
    assert mixed[:, -1].min() == 255


def test_sums_are_saturated_and_rounded() -> None:
    checks = constant(0, 64, 64)
    checks[::2, ::2] = checks[1::2, 1::2] = 255
    # 250 − 127.5 and 5 + 127.5, halves to even; in the middle, far from where checks meet their mirror image.
    for level, expected in ((250, {122, 255}), (5, {0, 132})):
        mixed = hybrid(constant(level, 64, 64), checks, 4, 4)[26:-26, 26:-26]
        assert set(mixed.ravel().tolist()) == expected


def test_many_images_are_mixed_as_each_alone_and_stay_as_they_are() -> None:
    low, high = random_images(1, 5, 8, 9), random_images(2, 5, 8, 9)
    before = low.tobytes() + high.tobytes()
    low.flags.writeable = high.flags.writeable = False
    together = hybrid(low, high, 2, 3)
    assert together.tolist() == [hybrid(a, b, 2, 3).tolist() for a, b in zip(low, high, strict=True)]
    assert low.tobytes() + high.tobytes() == before


@pytest.mark.parametrize("cutoff", [0, -1, math.nan, math.inf])
def test_wrong_cutoffs(cutoff: float) -> None:
    with pytest.raises(ValueError, match="low_cutoff is"):
        hybrid(constant(1), constant(1), cutoff, 4)
    with pytest.raises(ValueError, match="high_cutoff is"):
        hybrid(constant(1), constant(1), 4, cutoff)


@pytest.mark.parametrize(("low", "high"), [((8, 8, 3), (8, 9, 3)), ((8, 8, 1), (8, 8, 1)), ((8, 3), (8, 3))])
def test_wrong_shapes(low: tuple[int, ...], high: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="of one shape"):
        hybrid(np.zeros(low, np.uint8), np.zeros(high, np.uint8), 4, 4)
