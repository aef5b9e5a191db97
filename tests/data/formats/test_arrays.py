import io
import re
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from noisegate.errors import TooLarge
from tests.data.formats.collected import noise, npy, npz, read, refused

# The names of a MedMNIST file, as medmnist 3.0.2 reads them.
MEDMNIST = ("train", "val", "test")


def medmnist(*image: int, labels: int = 1) -> dict[str, np.ndarray]:
    found = {}
    for seed, split in enumerate(MEDMNIST):
        found[f"{split}_images"] = noise(5, *image, seed=seed)
        found[f"{split}_labels"] = noise(5, labels, seed=seed) % 3
    return found


@pytest.mark.parametrize("image", [(28, 28), (28, 28, 3), (64, 64, 3)])
@pytest.mark.parametrize("packed", ["savez", "savez_compressed", "members", "npz in the archive"])
def test_medmnist(tmp_path: Path, image: tuple[int, ...], packed: str) -> None:
    given_arrays = medmnist(*image)
    if packed == "members":
        found = read(tmp_path, {f"pathmnist/{name}.npy": array for name, array in given_arrays.items()})
    else:
        name = "medical/pathmnist.npz" if packed.startswith("npz") else "0123abcd"
        found = read(tmp_path, {name: npz(given_arrays, packed == "savez_compressed")})
    for split, called in (("train", "train"), ("val", "validation"), ("test", "test")):
        images = given_arrays[f"{split}_images"]
        rgb = images if images.ndim == 4 else np.stack([images] * 3, axis=3)
        np.testing.assert_array_equal(found.pixels(called), rgb)
        for row, (label,) in enumerate(given_arrays[f"{split}_labels"]):
            assert found.labels[f"{called}/{row:05d}.png"] == (called, str(label))


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(1, 6))
    # A height of 1 or 3 could be that of channels, and is refused.
    shape = (count, draw(st.sampled_from([2, 4, 5])), draw(st.integers(1, 5)), *draw(st.sampled_from([(), (1,), (3,)])))
    images = draw(arrays.arrays(np.uint8, shape))
    images[0, 0, 0] |= 2  # without a value above 1 they are refused
    of_type = draw(st.sampled_from(["u1", "<i8", ">i4", "<u2"]))
    return images, draw(
        arrays.arrays(of_type, draw(st.sampled_from([(count,), (count, 1)])), elements=st.integers(0, 99))
    )


@settings(deadline=None)
@given(labelled(), st.booleans(), st.booleans())
def test_pixels_and_labels_come_out_as_they_went_in(
    made: tuple[np.ndarray, np.ndarray], in_fortran_order: bool, in_npz: bool
) -> None:
    images, labels = made
    kept = np.asfortranarray(images) if in_fortran_order else images
    with TemporaryDirectory() as folder:
        if in_npz:
            found = read(Path(folder), {"a.npz": npz({"images": kept, "labels": labels})})
        else:
            found = read(Path(folder), {"images.npy": kept, "labels.npy": labels})
    expected = images if images.ndim == 4 else images[..., np.newaxis]
    np.testing.assert_array_equal(found.pixels(), np.broadcast_to(expected, (*images.shape[:3], 3)))
    assert [name for _, name in found.labels.values()] == [str(int(label)) for label in labels.flat]


def test_the_same_images_have_the_same_names_however_they_come(tmp_path: Path) -> None:
    given_arrays = medmnist(6, 6)
    one = read(tmp_path, {"a.npz": npz(given_arrays)})
    other = read(tmp_path, {f"{name}.npy": array for name, array in reversed(given_arrays.items())})
    assert one.labels == other.labels
    assert list(one.members) == list(other.members)


@pytest.mark.parametrize(
    ("images", "labels", "split"),
    [
        ("x_train", "y_train", "train"),
        ("X_test", "Y_test", "test"),
        ("images", "labels", None),
        ("cifar10.1_v6_data", "cifar10.1_v6_labels", None),
        ("data/train-images", "data/train-labels", "train"),
        ("test/x", "test/y", "test"),
        ("imgs_val", "targets_val", "validation"),
    ],
)
def test_names_that_go_together(tmp_path: Path, images: str, labels: str, split: str | None) -> None:
    found = read(tmp_path, {f"{images}.npy": noise(2, 4, 4, 3), f"{labels}.npy": np.array([3, 1])})
    assert list(found.labels.values()) == [(split, "3"), (split, "1")]


def test_texts_are_class_names(tmp_path: Path) -> None:
    found = read(tmp_path, {"x.npy": noise(2, 4, 4), "y.npy": np.array(["Äpfel", "Birnen"])})
    assert [name for _, name in found.labels.values()] == ["Äpfel", "Birnen"]


@pytest.mark.parametrize("scaled", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("white", [1, 255])
def test_levels_as_fractions_or_whole_numbers_are_told_from_the_values(
    tmp_path: Path, scaled: type, white: int
) -> None:
    images = noise(3, 9, 9, 3)
    values: np.ndarray = (images / 255).astype(scaled) if white == 1 else images.astype(scaled)
    found = read(tmp_path, {"x.npy": values, "y.npy": np.arange(3)})
    np.testing.assert_array_equal(found.pixels(), images)


def test_whole_numbers_of_more_bytes(tmp_path: Path) -> None:
    images = noise(3, 4, 4, 3)
    assert (read(tmp_path, {"x.npy": images.astype(">i8"), "y.npy": np.arange(3)}).pixels() == images).all()


def test_channels_first(tmp_path: Path) -> None:
    images = noise(4, 3, 6, 5)
    found = read(tmp_path, {"x.npy": images, "y.npy": np.arange(4)})
    np.testing.assert_array_equal(found.pixels(), images.transpose(0, 2, 3, 1))


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (_normal(3, 4, 4), "which one is white"),
        (np.random.default_rng(0).random((3, 4, 4)), "which one is white"),
        (np.array([0.0, 1.0, 0.0, 1.0]).reshape(1, 2, 2).repeat(3, 0), "which one is white"),
        (np.full((3, 4, 4), 300), "from 300 to 300"),
        (np.full((3, 4, 4), -1), "from -1 to -1"),
        (np.full((3, 4, 4), np.nan), "which one is white"),
        (np.eye(4, dtype=np.uint8)[np.newaxis].repeat(3, 0), "of type uint8, from 0 to 1: which one is white"),
        (np.full((3, 4, 4), 4095, np.uint16), "from 4095 to 4095"),
        (np.zeros((3, 4, 4), bool), "type bool"),
        (np.zeros((3, 4, 4), complex), "type complex128"),
        (noise(3, 784), "rows of numbers"),
        (noise(3, 28, 28, 28), "volumes"),
        (noise(3, 8, 8, 4), "other than 1 or 3 channels"),
        (noise(3, 3, 8, 3), "first or last"),
        (noise(3, 0, 8), "no pixels"),
        (noise(3, 2, 8, 8, 3), "volumes"),
    ],
)
def test_arrays_that_are_no_images_for_certain(tmp_path: Path, images: np.ndarray, words: str) -> None:
    refused(tmp_path, {"x.npy": images, "y.npy": np.arange(3)}, words)


WHOLE = np.random.default_rng(0).integers(0, 256, (3, 4, 4))
LEVELS = np.concatenate([WHOLE, np.tile([[0, 255]], (1, 8)).reshape(1, 4, 4)])
ADVICE = {
    "255 * images": (LEVELS / 255).astype(np.float64) ** 1.0 + 1e-4 * (LEVELS == 7),
    "127.5 * (images + 1)": (LEVELS / 127.5 - 1).astype(np.float32),
    "images / 257": (LEVELS * 257).astype(np.uint16),
    "images": LEVELS + 0.25 * (LEVELS == 7),
}


@pytest.mark.parametrize("how", ADVICE)
def test_what_is_advised_keeps_the_levels(tmp_path: Path, how: str) -> None:
    images = ADVICE[how]
    error = refused(tmp_path, {"x.npy": images, "y.npy": np.arange(len(images))}, "which one is white")
    assert f"numpy.rint({how}).astype('uint8') if " in str(error.remedy)
    followed = {
        "255 * images": 255 * images,
        "127.5 * (images + 1)": 127.5 * (images + 1),
        "images / 257": images / 257,
        "images": images,
    }[how]
    np.testing.assert_array_equal(np.rint(followed).astype("uint8"), LEVELS)


@pytest.mark.parametrize(
    ("images", "remedy"),
    [
        (_normal(3, 4, 4), "clip"),
        (np.full((3, 4, 4), 70_000), "clip"),
        (np.full((3, 4, 4), np.inf), "isfinite"),
        (np.array([1.0, np.nan]).reshape(1, 1, 2).repeat(3, 0), "isfinite"),
        (np.zeros((3, 4, 4), bool), r"255 \* images"),
    ],
)
def test_what_is_advised_where_black_and_white_are_open(tmp_path: Path, images: np.ndarray, remedy: str) -> None:
    error = refused(tmp_path, {"x.npy": images, "y.npy": np.arange(len(images))}, "which one is white")
    assert re.search(remedy, str(error.remedy))


def test_the_range_is_that_of_all_values(tmp_path: Path) -> None:
    images = np.zeros((2, 1200, 1000, 3), np.float64)
    images[0, 0, 0], images[1, -1, -1] = -1, 1
    refused(tmp_path, {"x.npy": images, "y.npy": np.arange(2)}, "from -1 to 1:")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (noise(3, 14) % 2, "several labels an image"),
        (np.eye(3, dtype=np.uint8), "several labels an image"),
        (np.array([0.0, 1.0, 2.0]), "float64"),
        (np.array([True, False, True]), "bool"),
        (np.array([b"a", b"b", b"c"]), "type"),
        (np.array([0, 1]), "2 labels for the 3 images"),
        (np.array([0, 1, -1]), "label -1"),
        (np.array(["a", "b", "c" * 300]), "short texts"),
        (np.uint8(3), "its shape is"),
    ],
)
def test_labels_that_say_no_class(tmp_path: Path, labels: np.ndarray, words: str) -> None:
    refused(tmp_path, {"x.npy": noise(3, 4, 4), "y.npy": labels}, words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["x_train"], "no file holds their labels"),
        (["y_train"], "no file holds the images"),
        (["x_train", "y_test"], "no file holds"),
        (["x", "y", "x_train", "y_train"], "does not say which part"),
        (["a/x", "a/y", "b/x", "b/y"], "two data sets"),
        (["cifar10.1_v4_data", "cifar10.1_v4_labels", "cifar10.1_v6_data", "cifar10.1_v6_labels"], "two data sets"),
        (["train_test_x", "y"], "names two parts"),
        (["fog", "labels"], "CIFAR-10-C"),
        (["x_train", "y_train", "gaussian_noise"], "CIFAR-10-C"),
    ],
)
def test_names_that_do_not_go_together(tmp_path: Path, names: list[str], words: str) -> None:
    files = {f"{name}.npy": np.arange(3) if name.rpartition("/")[2][0] in "yl" else noise(3, 4, 4) for name in names}
    refused(tmp_path, files, words)


def test_two_different_arrays_for_one_part_are_refused_and_copies_left_out(tmp_path: Path) -> None:
    files = {"x.npy": noise(3, 4, 4), "y.npy": np.arange(3)}
    refused(tmp_path, {**files, "images.npy": noise(3, 4, 4, seed=1)}, "both images")
    assert read(tmp_path, {**files, "images.npy": files["x.npy"]}).left_out == {"x.npy": "is a copy of 'images.npy'"}


def test_numbers_and_texts_are_not_mixed(tmp_path: Path) -> None:
    files = {"x_train.npy": noise(2, 4, 4), "y_train.npy": np.array([0, 1])}
    refused(tmp_path, {**files, "x_val.npy": noise(1, 4, 4), "y_val.npy": np.array(["0"])}, "which belong together")


def test_other_arrays_are_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, {"features.npy": noise(5, 7), "x.npy": noise(2, 4, 4), "y.npy": np.arange(2)})
    assert "says neither images nor labels" in found.left_out["features.npy"]
    assert len(found.members) == 2


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.array([print, 1], dtype=object), allow_pickle=True)
    refused(tmp_path, {"x.npy": file.getvalue(), "y.npy": np.arange(2)}, "pickle: opening one runs")


def _with_header(header: bytes, body: bytes = b"", version: int = 1) -> bytes:
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + body


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(noise(9, 9, 9))[:-1], "holds 728 bytes, and its header says"),
        (npy(noise(9, 9, 9)) + b"1", "holds 730 bytes"),
        (npy(noise(9, 9, 9))[:40], "cut short"),
        (b"\x93NUMPY", "cut short"),
        (
            _with_header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 9, 9)}\n", bytes(81)),
            "holds 81 bytes",
        ),
        (_with_header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 9, -9)}\n", bytes(81)), "shape"),
        (_with_header(b"{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (81,)}\n", bytes(81)), "shape"),
        (_with_header(b"{'descr': '|u1', 'fortran_order': False}\n"), "cut short"),
        (_with_header(b"__import__('os')\n"), "cut short"),
        (_with_header(b"(" * 9000), "cut short"),
        (_with_header(b"{'descr': '|V0', 'fortran_order': False, 'shape': (3, 4, 4)}\n"), "which one is white|labels"),
        (_with_header(b"{}", version=3), "version"),
    ],
)
def test_headers_are_believed_only_where_the_file_bears_them_out(tmp_path: Path, content: bytes, words: str) -> None:
    refused(tmp_path, {"x.npy": content, "y.npy": np.arange(3)}, words)


def test_damaged_npz(tmp_path: Path) -> None:
    whole = npz({"x": noise(30, 9, 9), "y": np.arange(30)})
    refused(tmp_path, {"a.npz": whole[:-30]}, "'a.npz' is damaged")
    refused(tmp_path, {"a.npz": whole[:60] + bytes(20) + whole[80:]}, "'a.npz' is damaged")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy(noise(3, 3, 3)))
    refused(tmp_path, {"a.npz": file.getvalue()}, "unusual method")


def test_limits(tmp_path: Path) -> None:
    files = {"x.npy": noise(3, 4, 4), "y.npy": np.arange(3)}
    refused(tmp_path, files, "more than 2 images", TooLarge, max_files=2)
    refused(tmp_path, files, "more than 47 bytes each", TooLarge, max_member_bytes=47)
    refused(tmp_path, files, "more than 143 bytes of pixels", TooLarge, max_total_bytes=143)
    assert len(read(tmp_path, files, max_files=3, max_member_bytes=48, max_total_bytes=144).members) == 3
    zeros = {"a.npz": npz({"x": np.zeros((70, 1000, 1000), np.uint8), "y": np.arange(70)})}
    refused(tmp_path, zeros, "200 times its size", TooLarge)


def test_blocks_of_a_large_array(tmp_path: Path) -> None:
    # Three blocks of 8 MiB, the last one shorter.
    images = noise(17, 1000, 1000)
    for kept in (images, np.asfortranarray(images)):
        found = read(tmp_path, {"x.npy": kept, "y.npy": np.arange(17)})
        np.testing.assert_array_equal(found.pixels()[..., 0], images)
