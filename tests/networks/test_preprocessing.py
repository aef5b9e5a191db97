"""What a network is shown of an image, against NumPy in float64."""

import numpy as np
import pytest
import torch

from noisegate.networks.preprocessing import Preprocessing, Statistics, fitted, mean_image


def images(count: int = 4100, seed: int = 1) -> np.ndarray:
    """More than are counted at a time; each channel has levels of its own."""
    generator = np.random.default_rng(seed)
    levels = generator.integers(0, 100, (count, 8, 8, 3), dtype=np.uint8)
    return levels * np.array([1, 2, 1], np.uint8) + np.array([0, 50, 156], np.uint8)


def test_by_channels_mean_and_deviation_are_numpys() -> None:
    found = images()
    preprocessing = fitted("channels", found)
    exact = found.astype(np.float64)
    assert preprocessing.std is not None
    np.testing.assert_allclose(preprocessing.mean, exact.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(preprocessing.std, exact.std(axis=(0, 1, 2)), rtol=1e-6)
    shown = preprocessing(torch.from_numpy(found)).double()
    np.testing.assert_allclose(shown.mean(dim=(0, 1, 2)), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(shown.std(dim=(0, 1, 2), correction=0), np.ones(3), rtol=1e-5)


def test_by_the_mean_image_only_that_is_subtracted() -> None:
    found = images(30)
    preprocessing = fitted("mean_image", found)
    assert preprocessing.std is None
    expected = found.mean(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(preprocessing.mean, expected.astype(np.float32))
    shown = preprocessing(torch.from_numpy(found))
    assert shown.dtype == torch.float32
    np.testing.assert_array_equal(shown, found.astype(np.float32) - expected.astype(np.float32))


@pytest.mark.parametrize("level", [0, 37, 255])
def test_images_of_one_gray_level_are_shown_as_nothing_and_not_divided_by_nothing(level: int) -> None:
    gray = np.full((5, 8, 8, 3), level, np.uint8)
    preprocessing = fitted("channels", gray)
    assert preprocessing.mean.tolist() == [level] * 3
    assert preprocessing.std is not None
    assert preprocessing.std.tolist() == [1] * 3
    assert not preprocessing(torch.from_numpy(gray)).any()


def test_a_channel_without_colour_beside_others() -> None:
    found = images(50)
    found[..., 1] = 9
    shown = fitted("channels", found)(torch.from_numpy(found))
    assert shown.isfinite().all()
    assert not shown[..., 1].any()
    assert shown[..., 0].std() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("statistics", ["mean_image", "channels"])
def test_order_and_what_is_given_do_not_matter(statistics: Statistics) -> None:
    """The same numbers for the images in another order, and from memory that cannot be written."""
    found = images(3000)
    turned = found[::-1].copy()
    turned.flags.writeable = False
    one, other = fitted(statistics, found), fitted(statistics, turned)
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(other.tensors[name], tensor) for name, tensor in one.tensors.items())


def test_what_it_is_given_stays_as_it_was() -> None:
    found = torch.from_numpy(images(4))
    kept = found.clone()
    preprocessing = Preprocessing(torch.full((8, 8, 3), 7.0), torch.tensor([1.0, 2.0, 4.0]))
    shown = preprocessing(found)
    assert torch.equal(found, kept)
    assert torch.equal(preprocessing.mean, torch.full((8, 8, 3), 7.0))
    torch.testing.assert_close(shown, (kept.float() - 7) / torch.tensor([1.0, 2.0, 4.0]))


def test_its_names_in_files() -> None:
    assert list(fitted("mean_image", images(4)).tensors) == ["mean"]
    assert list(fitted("channels", images(4)).tensors) == ["mean", "std"]


def test_elsewhere_it_is_the_same() -> None:
    there = fitted("channels", images(4)).to("meta")
    assert {name: tensor.device.type for name, tensor in there.tensors.items()} == {"mean": "meta", "std": "meta"}
    assert fitted("mean_image", images(4)).to("meta").std is None


def test_mean_image_is_exact() -> None:
    found = np.full((1000, 8, 8, 3), 255, dtype=np.uint8)
    found[0] = 0
    assert mean_image(found) == pytest.approx(np.full((8, 8, 3), 255 * 999 / 1000))
