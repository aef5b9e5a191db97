from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from noisegate.errors import TooLarge
from tests.data.formats.collected import noise, read, refused

FOLDER = "cifar-10-batches-bin"
TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
META = "\n".join([*TEN, "", ""]).encode()
HUNDRED = [f"class {number}" for number in range(100)]


def rows(labels: np.ndarray, images: np.ndarray) -> bytes:
    """Labels (n, 1 or 2) and images (n, 32, 32, 3) as CIFAR writes them: each row the labels, then all red values, and so on."""
    return b"".join(
        bytes(label) + image.transpose(2, 0, 1).tobytes() for label, image in zip(labels, images, strict=True)
    )


def batch(seed: int, count: int = 3) -> bytes:
    return rows(noise(count, 1, seed=seed) % 10, noise(count, 32, 32, 3, seed=seed))


def cifar10() -> dict[str, bytes]:
    made = {f"{FOLDER}/data_batch_{number}.bin": batch(number) for number in range(1, 6)}
    return made | {f"{FOLDER}/test_batch.bin": batch(9)}


def test_cifar_10(tmp_path: Path) -> None:
    found = read(tmp_path, cifar10(), {f"{FOLDER}/batches.meta.txt": META})
    expected = np.concatenate([noise(3, 32, 32, 3, seed=number) for number in range(1, 6)])
    np.testing.assert_array_equal(found.pixels("train"), expected)
    np.testing.assert_array_equal(found.pixels("test"), noise(3, 32, 32, 3, seed=9))
    labels = np.concatenate([noise(3, 1, seed=number) % 10 for number in range(1, 6)])
    for row, (label,) in enumerate(labels):
        assert found.labels[f"train/{row:05d}.png"] == ("train", TEN[label])
    assert not found.told


@settings(deadline=None)
@given(arrays.arrays(np.uint8, (2, 32, 32, 3)), arrays.arrays(np.uint8, (2, 1), elements=st.integers(0, 9)))
def test_pixels_and_labels_come_out_as_they_went_in(images: np.ndarray, labels: np.ndarray) -> None:
    with TemporaryDirectory() as folder:
        found = read(Path(folder), {"data_batch_1.bin": rows(labels, images)})
    np.testing.assert_array_equal(found.pixels("train"), images)
    assert [name for _, name in found.labels.values()] == [str(label) for (label,) in labels]


def test_cifar_100_by_its_fine_labels(tmp_path: Path) -> None:
    labels = np.array([[19, 99], [0, 7]], np.uint8)
    files = {
        "c/train.bin": rows(labels, noise(2, 32, 32, 3)),
        "c/test.bin": rows(labels[:1], noise(1, 32, 32, 3, seed=1)),
    }
    found = read(
        tmp_path, files, {"c/fine_label_names.txt": "\n".join(HUNDRED).encode(), "c/coarse_label_names.txt": b"a\nb"}
    )
    assert [name for _, name in found.labels.values()] == ["class 99", "class 99", "class 7"]
    np.testing.assert_array_equal(found.pixels("train"), noise(2, 32, 32, 3))
    assert "fine labels are the classes" in found.told[0]


def test_a_batch_that_is_missing_is_told(tmp_path: Path) -> None:
    files = cifar10()
    del files[f"{FOLDER}/data_batch_3.bin"]
    assert read(tmp_path, files).told == ["of CIFAR-10's training images, data_batch_3.bin did not come"]


def test_a_first_row_that_begins_like_an_idx_file(tmp_path: Path) -> None:
    image = noise(1, 32, 32, 3)
    image[0, 0, :3, 0] = 0, 8, 3
    content = rows(np.zeros((1, 1), np.uint8), image)
    assert content.startswith(b"\0\0\x08\x03")
    assert len(read(tmp_path, {"data_batch_1.bin": content}).members) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {f"{FOLDER}/test_batch.bin": batch(1)[:-1]},
            "has 9,218 bytes, and CIFAR-10's binary version has rows of 3,073",
        ),
        (
            {f"{FOLDER}/test_batch.bin": bytes([10]) + batch(1)[1:]},
            "labels that CIFAR-10's binary version does not have",
        ),
        ({f"{FOLDER}/test.bin": bytes(3074)}, "may be two data sets"),
        ({"other/test_batch.bin": batch(1)}, "may be two data sets"),
    ],
)
def test_other_files(tmp_path: Path, change: dict[str, bytes], words: str) -> None:
    refused(tmp_path, cifar10() | change, words)


@pytest.mark.parametrize("meta", [b"cat\ndog\n", META.replace(b"cat", b"dog"), b"\xff" * 20])
def test_names_that_are_not_those_of_the_classes(tmp_path: Path, meta: bytes) -> None:
    refused(tmp_path, cifar10(), "batches.meta.txt", attachments={f"{FOLDER}/batches.meta.txt": meta})


def test_limits(tmp_path: Path) -> None:
    refused(tmp_path, cifar10(), "more than 17 images", TooLarge, max_files=17)
