"""Copies that were planted are found where they are, and unlike pictures are not called copies."""

import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance

from noisegate.api.duplicates import Duplicates
from noisegate.data.copies import find_copies
from noisegate.data.duplicates import find_duplicates
from noisegate.data.sources import digits_members
from noisegate.inference.decoding import resize_pixels

Pixels = npt.NDArray[np.uint8]
CLASSES = ("cat", "dog", "frog")


def pictures(count: int, size: int = 32, seed: int = 0) -> Pixels:
    """Colourful clouds whose detail falls with the frequency, as that of photographs does."""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)) + 1 / size
    spectrum = np.fft.rfft2(generator.normal(size=(count, size, size, 3)), axes=(1, 2)) / frequency[..., None] ** 1.2
    clouds = np.fft.irfft2(spectrum, s=(size, size), axes=(1, 2))
    clouds -= clouds.mean(axis=(1, 2, 3), keepdims=True)
    clouds /= clouds.std(axis=(1, 2, 3), keepdims=True)
    return np.clip(128 + 45 * clouds, 0, 255).astype(np.uint8)


def jpeg(image: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def resized(image: Pixels, size: int) -> Pixels:
    small = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(small.resize(image.shape[:2], Image.Resampling.BILINEAR))


def brightened(image: Pixels) -> Pixels:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(1.15))


def cropped(image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(image).crop((1, 0, 32, 31)).resize((32, 32), Image.Resampling.BILINEAR))


def mirrored(image: Pixels) -> Pixels:
    return np.ascontiguousarray(image[:, ::-1])


def digits() -> Pixels:
    members = [member.content for member in digits_members()]
    return np.stack([resize_pixels(content, 32) for content in members if isinstance(content, np.ndarray)])


def look(images: Pixels, labels: list[int], train_count: int) -> Duplicates:
    names = [f"image {place}" for place in range(len(images))]
    return find_duplicates(images, np.array(labels), train_count, names, CLASSES)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: jpeg(image, 75), id="jpeg 75"),
        pytest.param(lambda image: jpeg(image, 40), id="jpeg 40"),
        pytest.param(lambda image: resized(image, 24), id="24 pixels"),
        pytest.param(brightened, id="brighter"),
        pytest.param(cropped, id="cropped"),
    ],
)
@pytest.mark.parametrize("mirror", [False, True])
def test_a_changed_copy_is_found_as_what_it_is(change: Callable[[Pixels], Pixels], mirror: bool) -> None:
    images = pictures(200)
    changed = np.stack([change(image) for image in images[:40]])
    images[160:] = changed[:, :, ::-1] if mirror else changed
    found = look(images, [0] * 200, train_count=100)
    counts = found.test_in_train
    assert (counts.exact, counts.near, counts.mirrored) == ((0, 0, 40) if mirror else (0, 40, 0))
    expected = {(f"image {place}", f"image {160 + place}") for place in range(40)}
    assert {(pair.first, pair.second) for pair in counts.examples} <= expected
    assert len(counts.examples) == 20
    assert found.groups == (0 if mirror else 40), "mirror images make no group"
    assert found.within_train.copies == found.within_test.copies == found.across_classes.copies == 0


def test_each_relation_counts_its_own_images() -> None:
    images = pictures(60)
    images[1] = images[0]  # both to train on, of two classes
    images[51] = images[50]  # both to test on
    images[52] = images[2]  # a leak
    images[53] = jpeg(images[3], 50)  # a near leak, of another class
    images[54] = mirrored(images[4])
    labels = [0] * 60
    labels[1] = labels[53] = 1
    found = look(images, labels, train_count=40)

    def figures(relation: str) -> tuple[int, int, int]:
        counts = getattr(found, relation)
        return counts.exact, counts.near, counts.mirrored

    assert figures("within_train") == (2, 0, 0)
    assert figures("within_test") == (2, 0, 0)
    assert figures("test_in_train") == (1, 1, 1)
    assert figures("across_classes") == (2, 2, 0)
    assert [(pair.kind, pair.first_class, pair.second_class) for pair in found.across_classes.examples] == [
        ("exact", "cat", "dog"),
        ("near", "cat", "dog"),
    ]
    assert found.message == "2 of 20 test images are also training images (1 exactly, 1 nearly), and 1 more mirrored."
    assert found.messages[0] == "4 of 60 images have a copy of another class (2 exactly, 2 nearly)."
    assert Duplicates.model_validate_json(found.model_dump_json()) == found


def test_an_image_counts_once_by_its_closest_copy() -> None:
    images = pictures(40)
    images[1] = jpeg(images[0], 80)
    images[37], images[38], images[39] = images[0], jpeg(images[0], 60), mirrored(images[0])
    found = look(images, [0] * 40, train_count=37)
    assert (found.test_in_train.exact, found.test_in_train.near, found.test_in_train.mirrored) == (1, 1, 1)
    assert (found.within_train.exact, found.within_train.near) == (0, 2)


def test_five_copies_are_one_group() -> None:
    images = pictures(50)
    images[10:12] = images[0]
    images[20], images[21] = jpeg(images[0], 70), jpeg(images[0], 40)
    images[31] = images[30]
    found = look(images, [0] * 49 + [1], train_count=30)
    assert (found.groups, found.redundant_images, found.group_sizes) == (2, 5, {2: 1, 5: 1})
    assert found.largest_groups[0].images == [f"image {place}" for place in (0, 10, 11, 20, 21)]


def test_unlike_pictures_are_no_copies() -> None:
    found = look(pictures(1_000), [0] * 1_000, train_count=500)
    assert found.messages == []
    assert found.message == "None of the 500 test images is also a training image."


def test_a_common_frame_makes_no_copies() -> None:
    images = pictures(200) // 2 + 45
    images[:, :3] = images[:, -3:] = images[:, :, :3] = images[:, :, -3:] = 255
    assert look(images, [0] * 200, train_count=100).messages == []


def test_flat_images_are_copies_only_if_they_are_equal() -> None:
    row, column = np.mgrid[:32, :32]
    spot = 10 * np.exp(-((row - 16) ** 2 + (column - 12) ** 2) / 40)
    nearly = np.repeat(50 + np.arange(40)[:, None, None, None] + spot[:, :, None], 3, axis=3)
    nearly[np.arange(40), 0, np.arange(40) % 32] += 4
    flat, others = nearly.astype(np.uint8), pictures(200)

    def copies_among(*images: Pixels) -> tuple[int, int, int]:
        joined = np.concatenate([others, *images])
        counts = look(joined, [0] * len(joined), train_count=len(joined)).within_train
        return counts.exact, counts.near, counts.mirrored

    assert copies_among(flat) == (0, 0, 0)
    assert copies_among(flat, flat) == (80, 0, 0)
    assert copies_among(flat, flat[:, :, ::-1]) == (0, 0, 80)


def test_digits_that_look_alike_are_no_copies() -> None:
    images = digits()
    found = find_copies(images)
    assert len(found.first) == len(images)
    assert found.least_likeness > 0.95
    assert len(found.links) < 10


def test_copies_of_digits_are_found_all_the_same() -> None:
    images = digits()
    images[1_000:1_050] = [jpeg(image, 75) for image in images[:50]]
    links = find_copies(images).links
    assert {(place, 1_000 + place) for place in range(50)} <= set(zip(links.left, links.right, strict=True))


def test_the_same_images_give_the_same_answer_from_memory_and_from_a_map(tmp_path: Path) -> None:
    images = pictures(300)
    images[200:230] = [jpeg(image, 50) for image in images[:30]]
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)
    shares: list[float] = []
    names = [str(place) for place in range(300)]
    answer = find_duplicates(mapped, np.zeros(300, np.int64), 150, names, CLASSES, shares.append)
    assert answer == find_duplicates(images, np.zeros(300, np.int64), 150, names, CLASSES)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_the_same_images_in_another_order_have_the_same_copies() -> None:
    images = pictures(600)
    for place, by in zip(range(300, 600), (2, 3, 4) * 100, strict=True):  # near the limit, on both sides of it
        cut = (
            Image.fromarray(images[place - 300]).crop((by, 0, 32, 32 - by)).resize((32, 32), Image.Resampling.BILINEAR)
        )
        images[place] = np.asarray(cut)[:, :: 1 if place % 2 else -1]
    there, backwards = (look(order, [0] * 600, train_count=600) for order in (images, images[::-1]))
    assert 0 < there.within_train.near < 300
    assert 0 < there.within_train.mirrored < 300
    figures = [
        (found.within_train.near, found.within_train.mirrored, found.group_sizes) for found in (there, backwards)
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("count", [1, 2, 3, 17])
@pytest.mark.parametrize("size", [8, 28, 33])
def test_any_number_and_size_of_images_will_do(count: int, size: int) -> None:
    images = pictures(count, size)
    assert look(images, [0] * count, train_count=count // 2).messages == []


def test_a_crowd_of_near_copies_is_one_group() -> None:
    base = pictures(1)[0].astype(np.int16)
    noise = np.random.default_rng(0).integers(-3, 4, (200, 32, 32, 3))
    images = np.concatenate([np.clip(base + noise, 0, 255).astype(np.uint8), pictures(1_000, seed=1)])
    found = look(images, [0] * len(images), train_count=len(images))
    assert found.group_sizes == {200: 1}
    assert found.within_train.near == 200


def test_every_pair_is_compared_whichever_block_it_is_in() -> None:
    images = pictures(2_600, size=16)
    places = np.linspace(0, 2_599, 8).astype(int)
    images[places] = [np.clip(pictures(1, 16, seed=1)[0].astype(int) + shift, 0, 255) for shift in range(8)]
    links = find_copies(images).links
    assert set(combinations(places.tolist(), 2)) <= set(zip(links.left.tolist(), links.right.tolist(), strict=True))


class Watched(np.ndarray[tuple[int, ...], np.dtype[np.uint8]]):
    """Notes which images are read."""

    read: ClassVar[list[tuple[int, int]]] = []

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice) and self.ndim == 4 and self.base is not None:
            self.read.append((key.start, min(key.stop, len(self))))
        return np.asarray(self)[key]


def test_pixels_are_read_once_in_order_and_in_pieces() -> None:
    images = np.zeros((200, 224, 224, 3), np.uint8).view(Watched)
    find_copies(images)
    assert len(Watched.read) > 5
    assert [start for start, _ in Watched.read] == [0, *(stop for _, stop in Watched.read[:-1])]
    assert Watched.read[-1][1] == 200
