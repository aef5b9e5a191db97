import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torchvision.datasets import MNIST

from noisegate.errors import TooLarge
from tests.data.formats.collected import noise, read, refused

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist(count: int = 4) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    for name in NAMES:
        made[name] = idx(
            noise(count, 28, 28, seed=len(made)) if "images" in name else noise(count, seed=len(made)) % 10
        )
    return made


def test_as_torchvision_reads_it(tmp_path: Path) -> None:
    files = mnist()
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    found = read(tmp_path, files)
    for split in ("train", "test"):
        oracle = MNIST(tmp_path, train=split == "train")
        np.testing.assert_array_equal(found.pixels(split), np.stack([oracle.data.numpy()] * 3, axis=3))
        for row, label in enumerate(oracle.targets.tolist()):
            assert found.labels[f"{split}/{row:05d}.png"] == (split, str(label))


@settings(deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))), st.data())
def test_pixels_and_labels_come_out_as_they_went_in(images: np.ndarray, data: st.DataObject) -> None:
    labels = data.draw(arrays.arrays(np.uint8, len(images)))
    with TemporaryDirectory() as folder:
        found = read(Path(folder), {NAMES[0]: idx(images), NAMES[1]: idx(labels)})
    np.testing.assert_array_equal(found.pixels("train"), np.stack([images] * 3, axis=3))
    assert [name for _, name in found.labels.values()] == [str(label) for label in labels]


@pytest.mark.parametrize(
    "spelled",
    [
        lambda name: name.replace("-idx", ".idx"),
        lambda name: f"{name}/{name}",
        lambda name: f"{name}.gz",
        lambda name: f"data/FashionMNIST/raw/{name}",
        lambda name: f"kmnist-{name.replace('t10k', 'test')}",
    ],
)
def test_other_spellings_of_the_names(tmp_path: Path, spelled: "type[str]") -> None:
    assert (
        read(tmp_path, {spelled(name): file for name, file in mnist().items()}).labels == read(tmp_path, mnist()).labels
    )


def test_files_that_are_there_twice_are_read_once(tmp_path: Path) -> None:
    # As in an archive of MNIST that is widely passed on.
    files = {f"{name}/{name}": file for name, file in mnist().items()}
    files |= {name.replace("-idx", ".idx"): file for name, file in mnist().items()}
    found = read(tmp_path, files)
    assert len(found.members) == 8
    assert set(found.left_out.values()) == {f"is a copy of '{name}/{name}'" for name in NAMES}


def test_emnist_stays_as_it_lies_and_that_is_told(tmp_path: Path) -> None:
    names = [f"emnist-letters-{name.replace('t10k', 'test')}" for name in NAMES]
    files = dict(zip(names, mnist().values(), strict=True))
    found = read(tmp_path, files)
    assert "transposed" in found.told[0]
    np.testing.assert_array_equal(found.pixels("train")[..., 0].tobytes(), files[names[0]][16:])
    assert not read(tmp_path, mnist()).told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({NAMES[1]: idx(noise(3))}, "3 labels for the 4 images"),
        ({NAMES[1]: idx(noise(4, 2, 2))}, "has 3 dimensions"),
        ({NAMES[0]: idx(noise(4))}, "has 1 dimensions"),
        ({NAMES[0]: idx(noise(4, 28, 28))[:-1]}, "holds 3,135 values, and its header says 4 × 28 × 28"),
        ({NAMES[0]: idx(noise(4, 28, 28)) + b"1"}, "holds 3,137 values"),
        ({NAMES[0]: idx(noise(4, 28, 28))[:9]}, "header says nothing"),
        ({NAMES[0]: idx(noise(4, 0, 28))}, "0 × 28 pixels"),
        ({"kmnist-train-images-idx3-ubyte": idx(noise(4, 28, 28))}, "no file holds their labels"),
        ({"unpacked": idx(noise(4, 28, 28))}, "neither images nor labels"),
        ({"x.npy": noise(3, 3, 3)}, "may be the same images twice"),
    ],
)
def test_files_that_do_not_go_together(tmp_path: Path, change: dict[str, bytes], words: str) -> None:
    refused(tmp_path, mnist() | change, words)


def test_one_file_missing(tmp_path: Path) -> None:
    files = mnist()
    del files[NAMES[3]]
    refused(tmp_path, files, "'t10k-images-idx3-ubyte' holds images, and no file holds their labels")


def test_all_of_emnist_at_once_is_several_data_sets(tmp_path: Path) -> None:
    files = {f"gzip/emnist-{kind}-{name}": file for kind in ("letters", "digits") for name, file in mnist().items()}
    refused(tmp_path, files, "two data sets")


def test_limits(tmp_path: Path) -> None:
    refused(tmp_path, mnist(), "more than 7 images", TooLarge, max_files=7)
    refused(tmp_path, mnist(), "bytes each", TooLarge, max_member_bytes=3 * 28 * 28 - 1)
