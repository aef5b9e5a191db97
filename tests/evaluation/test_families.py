import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import stats

from noisegate.data.sources import digits_members
from noisegate.evaluation.families import (
    UNKNOWN_FAMILIES,
    KnownImages,
    _of_another_class,
    family_chunks,
    trained_families,
)
from noisegate.evaluation.hybrids import hybrid
from noisegate.inference.decoding import resize_pixels
from noisegate.noise import NoiseSpec, StructuredNoise
from noisegate.noise.drawing import noise_images
from tests.noise.test_drawing import exact_moments

ADAPTER: TypeAdapter[NoiseSpec] = TypeAdapter(NoiseSpec)
FROM_KNOWN = ("pixel_shuffled", "inverted", "hybrids")

# Sixteen images of 16 and of 33 pixels.
BYTES = {
    ("gaussian", 16): "e9fea9e36380f7bc0a3507e877e145a96500aaaa9efd01a4f9c023cb31d2d626",
    ("gaussian", 33): "97113192a45dc161bf0da469e4f53be469ee039f4bd5c3c9b045eb7fbbf62e64",
    ("uniform", 16): "b8352c61491be2de379a343b4638f4d287cc4e93389c51f6eb923c7402e20141",
    ("uniform", 33): "06699992dd925ead95cab2f4f696c9a4bbfad60301ade073562bb5d182949630",
    ("salt_and_pepper", 16): "5c2c41787fb50eca188fa8219386c04f02bfb4e99f2b86f7b3d25c4372a97803",
    ("salt_and_pepper", 33): "d56fa51e7f3707dffb4102a62b286b8898cd363bd9daf559c851f955691c1721",
    ("rademacher", 16): "03d7e91c5f0f9e00673be84881d8a490129b11ccd14836597f43453c7264b2c5",
    ("rademacher", 33): "e031016066210a5958cedc112bd4618f1e1446596e1cb67e5c6daea953f1e1e6",
    ("blobs", 16): "088e7207b074deb22659b604a62d0ff193c4d2a4e4f8e5459dab1e7bba204f07",
    ("blobs", 33): "b12cec6eca6a64721bf8c6253315f009f969d3167321370b7ba369a72fa6a864",
    ("solid", 16): "2c3cd5d539ae1140fcb6061cc2078211c06c6c246617a006a3ebc24706838177",
    ("solid", 33): "42e013f289b629cc42b04013622e003f5dad6ce4533e416cfbca211851b70475",
    ("gray", 16): "04b64fcc9f3618e4b9d0366c2099bfa1022aaece364d332e79461ca40cc9887d",
    ("gray", 33): "210e5fa3a16cbc745ef1d079967665d61e4d29564c3d9858023b6db062aea465",
    ("checkerboard", 16): "246275ab67b74f3f6486bea7edbec07eb6d36aa6860e21e6f43abdf71f745cb5",
    ("checkerboard", 33): "993f853ab361f3b5c388179e08c91cb53e71212b81cf6b0823e1fa6247b636d5",
    ("pixel_shuffled", 16): "a3b9e5682e8eda7c0633e972ea49bd3534c99e256c10a1f4bbc81d330d5df33d",
    ("pixel_shuffled", 33): "6b5595fc77c6c3cc7cf05d549cfafd394b5cfa0529b9071cd6d3a3ae03792cd7",
    ("digits", 16): "6c62a9ea2c11decda13dc0a589e1b7e85f6df007ed4484b39d02e36dfaf109a0",
    ("digits", 33): "4d841b6ac83dca47daf5e3d50fb3f6468ce5eb5334f802d40f2ec6f6680b669d",
    ("inverted", 16): "07381e7e624658b0a043163b17087becc1c73a8fad11f3e642250496b8b96283",
    ("inverted", 33): "5cd5b52c3e793fd342c8c5ab1d94a87667d2ae249fc0715a1e90c52a0a73329e",
    ("hybrids", 16): "f2b25e6eda4841bf00ffa52623c2841a49bbf706d0df7771e0e7ac0ef24731a0",
    ("hybrids", 33): "44eab905611fc308f746c8c046668d11e665ff93155b3d8e38786e32cd0704bb",
}


def known_images(image_size: int, count: int = 40, classes: int = 3) -> KnownImages:
    """Images that all differ, of classes in turn."""
    values = np.arange(count * image_size**2 * 3).reshape(count, image_size, image_size, 3)
    images = (values * 7 % 251).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return KnownImages(images, np.arange(count) % classes)


def draw(name: str, count: int, image_size: int = 16, known: KnownImages | None = None, seed: int = 2026) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.concatenate(
        list(family_chunks(UNKNOWN_FAMILIES[name], generator, known or known_images(image_size), count))
    )


@pytest.mark.parametrize(("name", "image_size"), BYTES)
def test_a_seed_means_the_same_bytes_on_every_machine(name: str, image_size: int) -> None:
    assert hashlib.sha256(draw(name, 16, image_size).tobytes()).hexdigest() == BYTES[name, image_size]


def test_every_family_has_its_golden_bytes() -> None:
    assert {name for name, _ in BYTES} == set(UNKNOWN_FAMILIES)
    assert all(family.name == name for name, family in UNKNOWN_FAMILIES.items())


@pytest.mark.parametrize("image_size", [8, 9, 40])
@pytest.mark.parametrize("name", UNKNOWN_FAMILIES)
def test_every_family_comes_in_any_size_and_from_few_known_images(name: str, image_size: int) -> None:
    known = known_images(image_size, count=5)
    images = draw(name, 12, image_size, known)
    assert images.shape == (5 if name in FROM_KNOWN else 12, image_size, image_size, 3)
    assert images.dtype == np.dtype(np.uint8)
    assert len(images) == UNKNOWN_FAMILIES[name].count(known, 12)


@pytest.mark.parametrize("name", UNKNOWN_FAMILIES)
def test_known_images_may_be_a_read_only_map_and_stay(name: str, tmp_path: Path) -> None:
    known = known_images(9)
    np.save(tmp_path / "images.npy", known.images)
    mapped = KnownImages(np.load(tmp_path / "images.npy", mmap_mode="r"), known.labels)
    assert np.array_equal(draw(name, 10, 9, mapped), draw(name, 10, 9, known))


def test_chunks_are_bounded_and_each_source_is_taken_once() -> None:
    known = known_images(256, count=30)
    chunks = list(family_chunks(UNKNOWN_FAMILIES["inverted"], np.random.default_rng(0), known, 25))
    assert [len(chunk) for chunk in chunks] == [8, 8, 8, 1]
    numbers = [255 - int(image[0, 0, 0]) for chunk in chunks for image in chunk]
    assert len(set(numbers)) == 25
    assert numbers != sorted(numbers)


def test_gaussian_and_uniform_are_those_of_the_paper() -> None:
    gaussian = draw("gaussian", 1000)
    assert (gaussian.mean(), gaussian.std()) == pytest.approx(exact_moments(127, 70), abs=0.3)
    assert stats.chisquare(np.bincount(draw("uniform", 1000).ravel(), minlength=256)).pvalue > 1e-4


def test_salt_and_pepper_leaves_mid_gray_between_black_and_white_dots() -> None:
    images = draw("salt_and_pepper", 2000)
    assert set(np.unique(images)) == {0, 128, 255}
    assert (images == images[..., :1]).all()
    shares = (images[..., 0] != 128).mean(axis=(1, 2))
    assert shares.mean() == pytest.approx((1 / 16 + 1 / 2) / 2, abs=0.01)
    # Uniform between its bounds, but for the chance of each pixel.
    assert stats.kstest(shares, stats.uniform(1 / 16, 7 / 16).cdf).statistic < 0.05
    assert (images == 0).sum() / (images != 128).sum() == pytest.approx(0.5, abs=0.01)


def test_rademacher_is_a_fair_coin_for_every_value() -> None:
    images = draw("rademacher", 500)
    assert set(np.unique(images)) == {0, 255}
    assert images.mean() == pytest.approx(127.5, abs=1)
    for shifted in (images[:, 1:], images[:, :, 1:], images[..., 1:]):
        kept = images[tuple(slice(side) for side in shifted.shape)]
        assert (shifted == kept).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("image_size", [8, 32, 48])
def test_blobs_are_smooth_and_half_black(image_size: int) -> None:
    images = draw("blobs", 100, image_size)
    flat = images.reshape(100, -1)
    assert (flat.max(axis=1) == 255).all()
    assert ((flat == 0).mean(axis=1) <= 0.5).all()
    assert (flat == 0).mean() > 0.44
    # Stretched from the darkest value to the brightest, the median lies half-way.
    assert np.where(flat == 0, 255, flat).min(axis=1).mean() == pytest.approx(127, abs=15)
    neighbours = np.corrcoef(images[:, :, 1:, :].ravel(), images[:, :, :-1, :].ravel())[0, 1]
    assert neighbours > 0.6
    assert abs(np.corrcoef(images[..., 0].ravel(), images[..., 1].ravel())[0, 1]) < 0.2


def test_blobs_of_a_larger_side_are_as_smooth_as_smaller_ones_enlarged() -> None:
    small, large = (draw("blobs", 60, size).astype(np.float64) for size in (32, 96))

    def correlation(images: np.ndarray, apart: int) -> float:
        return float(np.corrcoef(images[:, :, apart:].ravel(), images[:, :, :-apart].ravel())[0, 1])

    assert correlation(large, 6) == pytest.approx(correlation(small, 2), abs=0.08)
    assert correlation(large, 2) > correlation(small, 2) + 0.1


def test_solid_and_gray_have_one_colour_an_image() -> None:
    for name, colours in (("solid", 300), ("gray", 256)):
        images = draw(name, 300)
        assert (images == images[:, :1, :1]).all()
        assert (images == images[..., :1]).all() == (name == "gray")
        assert len(np.unique(images[:, 0, 0], axis=0)) > colours / 2


def test_checkerboards_have_two_colours_and_squares_of_an_eighth_of_the_side() -> None:
    for image_size, square in ((8, 1), (32, 4), (64, 8)):
        images = draw("checkerboard", 50, image_size)
        assert all(len(np.unique(image.reshape(-1, 3), axis=0)) == 2 for image in images)
        assert (images[:, 2 * square :] == images[:, : -2 * square]).all()
        for axis in (1, 2):
            ahead = np.take(images, range(square, image_size), axis)
            behind = np.take(images, range(image_size - square), axis)
            assert (ahead != behind).any(axis=3).all()
    along_a_row = (images[:, 0, 1:] != images[:, 0, :-1]).any(axis=2).argmax(axis=1)
    assert set(along_a_row) == set(range(square))


def test_shuffled_images_have_the_pixels_of_a_known_image_elsewhere() -> None:
    known = known_images(16)
    shuffled = draw("pixel_shuffled", 40, 16, known)
    sources = {pixels_of(image): image for image in known.images}
    assert {pixels_of(image) for image in shuffled} == set(sources)
    moved = [(image != sources[pixels_of(image)]).any(axis=2).mean() for image in shuffled]
    assert min(moved) > 0.9


def test_inverted_images_are_negatives_of_known_ones() -> None:
    known = known_images(16)
    assert {image.tobytes() for image in draw("inverted", 40, 16, known)} == {
        (255 - image).tobytes() for image in known.images
    }


def test_hybrids_are_of_two_images_of_different_classes() -> None:
    known = known_images(8, count=6)
    possible = {
        hybrid(known.images[low], known.images[high], 4, 4).tobytes(): low
        for low in range(6)
        for high in range(6)
        if known.labels[low] != known.labels[high]
    }
    lows = [possible[image.tobytes()] for seed in range(20) for image in draw("hybrids", 6, 8, known, seed)]
    assert all(lows.count(low) == 20 for low in range(6))


def test_every_image_of_another_class_is_a_partner_equally_often() -> None:
    labels = np.array([2, 0, 0, 1, 2, 0])
    partners = _of_another_class(np.random.default_rng(0), labels, np.repeat([0, 1, 3], 6000))
    for chosen, found in zip([0, 1, 3], partners.reshape(3, 6000), strict=True):
        others = np.flatnonzero(labels != labels[chosen])
        assert set(found) == set(others)
        assert stats.chisquare(np.bincount(found, minlength=6)[others]).pvalue > 1e-4


def test_without_a_second_class_there_are_no_hybrids() -> None:
    known = known_images(8, classes=1)
    assert UNKNOWN_FAMILIES["hybrids"].count(known, 10) == 0
    assert list(family_chunks(UNKNOWN_FAMILIES["hybrids"], np.random.default_rng(0), known, 10)) == []


@pytest.mark.parametrize("image_size", [8, 20])
def test_digits_are_those_of_the_dataset(image_size: int) -> None:
    ours = draw("digits", 2000, image_size)
    assert sorted(image.tobytes() for image in ours) == sorted(image.tobytes() for image in packed_digits(image_size))


@pytest.mark.parametrize(
    ("documents", "covered"),
    [
        ([], set()),
        ([{"family": "uniform", "low": 100, "high": 200}], {"uniform"}),
        ([{"family": "gaussian", "std": 10}], {"gaussian"}),
        ([{"family": "mixture", "means": [60], "stds": [10]}], {"gaussian"}),
        ([{"family": "solid"}], {"solid", "gray"}),
        ([{"family": "gray"}], {"gray"}),
        ([{"family": "structured"}], {"uniform", "gaussian", "solid", "gray"}),
        ([{"family": "structured", "kinds": ["two_colour", "grating", "smooth", "patches"]}], set()),
        ([{"family": "uniform"}, {"family": "gray"}], {"uniform", "gray"}),
        ([{"family": "uniform", "quantity": 0}, {"family": "gaussian"}], {"gaussian"}),
        ([{"family": "structured", "quantity": 0}], set()),
    ],
)
def test_what_noise_covers(documents: list[dict[str, Any]], covered: set[str]) -> None:
    noises = [ADAPTER.validate_python(document) for document in documents]
    assert trained_families(noises, known_images(24).images) == covered


@pytest.mark.parametrize(("image_size", "covered"), [(23, {"pixel_shuffled"}), (24, set())])
def test_patches_cover_shuffled_pixels_where_they_are_single_pixels(image_size: int, covered: set[str]) -> None:
    patches = StructuredNoise(family="structured", kinds=["patches"])
    assert trained_families([patches], known_images(image_size).images) == covered
    # Each pixel says where it was; in a patch of two, its right neighbour was its right neighbour.
    places = np.zeros((1, image_size, image_size, 3), dtype=np.uint8)
    places[..., 1], places[..., 2] = np.mgrid[:image_size, :image_size]
    drawn = noise_images(np.random.default_rng(0), patches, 200, image_size, places).astype(int)
    still = (drawn[:, :, 1:, 2] - drawn[:, :, :-1, 2] == 1) & (drawn[:, :, 1:, 1] == drawn[:, :, :-1, 1])
    assert (still.mean(axis=(1, 2)).min() < 0.1) == bool(covered)


def test_digits_are_known_by_their_bytes() -> None:
    others = known_images(16).images
    digits = packed_digits(16)
    shuffled = digits[np.random.default_rng(0).permutation(len(digits))]
    assert trained_families([], shuffled[:360]) == {"digits"}
    assert trained_families([], np.concatenate([others, shuffled[:200]])) == {"digits"}
    altered = shuffled.copy()
    altered[:, 0, 0, 0] ^= 1
    assert trained_families([], altered) == set()
    assert trained_families([], others) == set()


def packed_digits(image_size: int) -> np.ndarray:
    contents = [member.content for member in digits_members()]
    return np.stack([resize_pixels(content, image_size) for content in contents if not isinstance(content, bytes)])


def pixels_of(image: np.ndarray) -> bytes:
    rows = image.reshape(-1, 3)
    return rows[np.lexsort(rows.T)].tobytes()
