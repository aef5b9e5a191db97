import hashlib
import io
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisegate.data.members import ArchiveLimits, Arriving, LeftOut, Member
from noisegate.data.packing import PackedDataset, pack
from noisegate.data.uploads import read_upload
from noisegate.errors import InvalidArchive, InvalidImage, StorageFull, TooLarge
from noisegate.inference.decoding import ImageLimits

from .archive_factory import KINDS, dataset, picture, pixels, write_archive


def packed(
    members: Iterable[Arriving],
    folder: Path,
    image_size: int = 8,
    limits: ImageLimits | None = None,
) -> PackedDataset:
    folder.mkdir(exist_ok=True)
    return pack(members, image_size, folder, lambda _: None, limits or ImageLimits())


def from_files(files: dict[str, bytes], folder: Path, kind: str = "zip") -> PackedDataset:
    path = write_archive(folder.with_suffix(".archive"), files, kind)
    return packed(read_upload(path, ArchiveLimits(), path.parent), folder)


def in_memory(count: int, size: int = 8, classes: int = 2) -> Iterator[Member]:
    for index in range(count):
        yield Member(f"train/{index % classes}/{index}.png", pixels(index, size))
    for label in range(classes):
        yield Member(f"test/{label}/0.png", pixels(label, size))


def digests(dataset: PackedDataset) -> tuple[str, str, str]:
    files = (dataset.images_path, dataset.labels_path)
    one, other = (hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return dataset.content_hash, one, other


def test_pixels_labels_and_counts(tmp_path: Path) -> None:
    files = dataset(train=30, test=4, classes=("dog", "cat")) | {"train/cat/readme.txt": b"hello"}
    found = from_files(files, tmp_path / "out")
    images, labels = np.load(found.images_path, mmap_mode="r"), np.load(found.labels_path)
    assert found.classes == ("cat", "dog")
    assert (found.image_size, found.train_count, found.test_count, found.skipped) == (8, 60, 8, 1)
    assert found.counts == {"train": {"cat": 30, "dog": 30}, "test": {"cat": 4, "dog": 4}}
    assert images.dtype == np.uint8
    assert images.shape == (68, 8, 8, 3)
    assert labels.dtype == np.int64
    assert labels.shape == (68,)
    # Every image is another one, so its pixels tell which file it was.
    origin = {
        np.asarray(Image.open(io.BytesIO(content))).tobytes(): name for name, content in files.items() if "png" in name
    }
    names = [origin[image.tobytes()] for image in images]
    assert len(set(names)) == 68
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        assert name.startswith(f"{'train' if index < 60 else 'test'}/{found.classes[label]}/")
    assert names != sorted(names)


def test_images_of_12_bits_in_16_are_told(tmp_path: Path) -> None:
    def deep(white: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.linspace(0, white, 64).astype(np.uint16).reshape(8, 8)).save(file, "PNG")
        return file.getvalue()

    files = dataset(train=3, test=1) | {"train/cat/deep.png": deep(2**16 - 1)}
    assert from_files(files, tmp_path / "white").report.notes == []
    (note,) = from_files(files | {"train/cat/dim.png": deep(2**12 - 1)}, tmp_path / "dim").report.notes
    assert note.startswith("1 image of 16 bits came out nearly black, such as 'train/cat/dim.png'")


def test_archive_format_order_and_top_folder_change_nothing(tmp_path: Path) -> None:
    files = dataset(train=9, test=3)
    shuffled = dict(random.Random(1).sample(list(files.items()), len(files)))
    variants = [from_files(files, tmp_path / kind, kind) for kind in KINDS]
    variants.append(from_files(shuffled, tmp_path / "shuffled", "tar.gz"))
    variants.append(from_files({f"top/{name}": data for name, data in files.items()}, tmp_path / "top"))
    variants.append(from_files({f"./{name}": data for name, data in files.items()}, tmp_path / "dot", "tar"))
    assert len({digests(variant) for variant in variants}) == 1


def test_twice_the_same_bytes_over_an_old_result(tmp_path: Path) -> None:
    first = digests(packed(in_memory(20), tmp_path))
    assert digests(packed(in_memory(20), tmp_path)) == first


def test_the_median_of_the_longer_sides_is_that_of_the_originals(tmp_path: Path) -> None:
    """Upright or not, and of pixels given as arrays as well."""

    def named(number: int, content: bytes | np.ndarray) -> Member:
        return Member(f"train/{number % 2}/{number}.png", content)

    def file(width: int, height: int) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (width, height)).save(buffer, "PNG")
        return buffer.getvalue()

    tests = [Member(f"test/{label}/0.png", file(9, 9)) for label in (0, 1)]
    members = [named(0, file(40, 30)), named(1, file(30, 50)), named(2, np.zeros((20, 60, 3), np.uint8))]
    assert packed([*members, *tests], tmp_path / "out").longer_side == 40


def test_any_other_content_has_another_hash(tmp_path: Path) -> None:
    files = dataset(train=4, test=3)
    moved = dict(files)
    moved["test/cat/9.png"] = moved.pop("train/cat/0.png")
    relabelled = dict(files)
    relabelled["train/dog/9.png"] = relabelled.pop("train/cat/0.png")
    one_pixel = np.asarray(Image.open(io.BytesIO(files["train/cat/0.png"]))).copy()
    one_pixel[3, 4, 1] ^= 1
    variants = {
        "same": files,
        "moved": moved,
        "relabelled": relabelled,
        "renamed class": {name.replace("cat", "cow"): data for name, data in files.items()},
        "one image less": {name: data for name, data in files.items() if name != "test/dog/2.png"},
    }
    hashes = {from_files(variant, tmp_path / name).content_hash for name, variant in variants.items()}
    changed = [Member(name, one_pixel if name == "train/cat/0.png" else data) for name, data in files.items()]
    hashes.add(packed(changed, tmp_path / "changed").content_hash)
    smaller = packed([Member(name, data) for name, data in files.items()], tmp_path / "size", image_size=4)
    hashes.add(smaller.content_hash)
    assert len(hashes) == len(variants) + 2


def test_hash_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    found = packed(in_memory(6), tmp_path)
    described = b'{"classes": ["0", "1"], "image_size": 8, "images": 8, "train": 6}'
    labels, images = np.load(found.labels_path), np.load(found.images_path)
    assert found.content_hash == hashlib.sha256(described + labels.tobytes() + images.tobytes()).hexdigest()


def test_pixels_given_as_arrays_are_resized_alike(tmp_path: Path) -> None:
    files = dataset()
    arrays = [Member(name, np.asarray(Image.open(io.BytesIO(data)))) for name, data in files.items()]
    as_bytes = [Member(name, data) for name, data in files.items()]
    for size in (8, 5, 16):
        one, other = packed(arrays, tmp_path / "one", size), packed(as_bytes, tmp_path / "other", size)
        assert digests(one) == digests(other)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"just some words", InvalidImage, "'train/cat/bad.png': the image is text"),
        (picture(0)[:-20], InvalidImage, "'train/cat/bad.png': the image is cut short"),
        (picture(0, 40), TooLarge, "'train/cat/bad.png': the image has 40 × 40 pixels"),
    ],
)
def test_one_bad_image_fails_all_and_is_named(
    tmp_path: Path, content: bytes, error: type[InvalidImage] | type[TooLarge], words: str
) -> None:
    members = [Member(name, data) for name, data in {**dataset(), "train/cat/bad.png": content}.items()]
    with pytest.raises(error, match=words) as caught:
        packed(members, tmp_path, limits=ImageLimits(max_pixels=1000))
    assert caught.value.field == "archive"
    assert "leave it out" in str(caught.value.remedy)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, cut: float) -> None:
    path = write_archive(tmp_path / "a", dataset(), "tar.gz")
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(InvalidArchive):
        packed(read_upload(path, ArchiveLimits(), path.parent), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_no_images_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive, match="holds no images"):
        packed([LeftOut("readme.txt", "is not an image")], tmp_path)


def test_progress_counts_images_and_may_end_it(tmp_path: Path) -> None:
    seen: list[int] = []
    pack(in_memory(600), 8, tmp_path, seen.append, ImageLimits())
    assert seen == sorted(seen)
    assert seen[-1] == 602

    def cancel(count: int) -> None:
        raise KeyboardInterrupt

    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(KeyboardInterrupt):
        pack(in_memory(600), 8, other, cancel, ImageLimits())
    assert list(other.iterdir()) == []


_FILL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from noisegate.errors import StorageFull
from noisegate.inference.decoding import ImageLimits
from noisegate.data.members import Member
from noisegate.data.packing import pack

limit, size = int(sys.argv[1]), 16
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
image = np.zeros((size, size, 3), np.uint8)
members = (Member(f"train/{index % 2}/{index}.png", image) for index in range(300))
try:
    pack(members, size, Path(sys.argv[2]), lambda _: None, ImageLimits())
except StorageFull as error:
    print(error.code, bool(error.remedy))
"""


# 300 images of 768 bytes: the scratch file fails at half of it; images.npy, longer by its header, alone at the second.
@pytest.mark.parametrize("limit", [300 * 768 // 2, 300 * 768 + 50])
def test_full_disk(tmp_path: Path, limit: int) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FILL_DISK, str(limit), str(tmp_path)], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.strip() == "storage-full True"
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_disk_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pack(in_memory(4), 8, tmp_path / "missing", lambda _: None, ImageLimits())


def test_storage_full_is_not_an_error_of_the_archive() -> None:
    assert not issubclass(StorageFull, InvalidArchive)


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    def peak_bytes(count: int) -> int:
        image = pixels(0, 128)
        members = (Member(f"train/{index % 2}/{index}.png", image) for index in range(count))
        tracemalloc.start()
        packed(members, tmp_path, image_size=128)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # 49,152 bytes an image, of which less than 1,024 may stay in memory.
    assert peak_bytes(1200) - peak_bytes(600) < 600 * 1024


def test_files_are_little_endian_npy(tmp_path: Path) -> None:
    found = packed(in_memory(4), tmp_path)
    assert found.labels_path.read_bytes().startswith(b"\x93NUMPY\x01\x00")
    assert b"'<i8'" in found.labels_path.read_bytes()[:128]
    assert found.images_path.stat().st_size == 128 + 6 * 192
