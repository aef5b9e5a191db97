"""Files of many images, as the libraries that write them lay them out, and uploads in which two kinds meet."""

import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.data.formats.collected import npy, npz
from tests.data.formats.hugging_face import embedded, write_split

from .photos import Part, gray, photo, pixels
from .rows import Row, refused, taken
from .writers import alone, backslashed, folders, tarred, zipped

PETS = folders("cat dog")
PAIR = ("cat", "dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
BOTH = {"cat": (4, 2), "dog": (4, 2)}
BECAME = "validation images became"
SHARD = "data/train-0000{}-of-00002.parquet"


def _split(part: Part | None, count: int, first: int = 0, names: Sequence[str] = PAIR) -> tuple[list[bytes], list[int]]:
    numbers = range(first, first + count)
    return [photo(names[n % len(names)], part, n) for n in numbers], [n % len(names) for n in numbers]


def parquet(part: Part | None, count: int, first: int = 0, names: Sequence[str] = PAIR, label: str = "label") -> bytes:
    """As `datasets` of Hugging Face writes it."""
    images, labels = _split(part, count, first, names)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write_split(path, {"image": embedded(images), label: labels}, {label: names})
        return path.read_bytes()


def plain_parquet(columns: Mapping[str, object]) -> bytes:
    """As pandas and pyarrow write it."""
    file = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), file)
    return file.getvalue()


def _arrays(
    part: Part | None, count: int, size: int = 16, channels_first: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    images = np.stack([pixels(str(n % 3), part, n, size) for n in range(count)])
    return (images.transpose(0, 3, 1, 2) if channels_first else images), np.arange(count) % 3


def _medmnist(gray_only: bool = False) -> bytes:
    found: dict[str, np.ndarray] = {}
    for name, part, count in (("train", "train", 12), ("val", "val", 3), ("test", "test", 6)):
        images, labels = _arrays(part, count)  # type: ignore[arg-type]
        found |= {
            f"{name}_images": images[..., 0] if gray_only else images,
            f"{name}_labels": labels[:, np.newaxis].astype(np.uint8),
        }
    return npz(found)


def _keras() -> dict[str, np.ndarray]:
    (x_train, y_train), (x_test, y_test) = _arrays("train", 12), _arrays("test", 6)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _idx(part: Part, count: int, name: str) -> dict[str, bytes]:
    images = np.stack([gray(str(n % 3), part, n) for n in range(count)])
    labels = (np.arange(count) % 3).astype(np.uint8)
    head = b"\0\0\x08\x03" + b"".join(side.to_bytes(4, "big") for side in images.shape)
    return {
        f"{name}-images-idx3-ubyte": head + images.tobytes(),
        f"{name}-labels-idx1-ubyte": b"\0\0\x08\x01" + count.to_bytes(4, "big") + labels.tobytes(),
    }


def _mnist() -> dict[str, bytes]:
    return _idx("train", 12, "train") | _idx("test", 6, "t10k")


def _cifar(part: Part, count: int, labels: int = 1) -> bytes:
    rows = []
    for n in range(count):
        image = pixels(str(n % 3), part, n, 32).transpose(2, 0, 1)
        rows.append(bytes([5] * (labels - 1) + [n % 3]) + image.tobytes())
    return b"".join(rows)


TEN = b"\n".join(str(n).encode() for n in range(10))
THREE = dict.fromkeys("012", (4, 2))
WITH_VAL = dict.fromkeys("012", (5, 2))
FLOATS = {"images": np.stack([gray(str(n % 3), None, n) for n in range(15)]) / 255, "labels": np.arange(15) % 3}
IMAGES, LABELS = _split(None, 10)

ROWS: list[Row] = [
    taken("Parquet of Hugging Face", alone(parquet(None, 10)), FOUR_ONE),
    taken(
        "Parquet in its repository's folders",
        zipped(
            {
                "README.md": b"x",
                "data/train-00000-of-00001.parquet": parquet("train", 8),
                "data/test-00000-of-00001.parquet": parquet("test", 4),
            }
        ),
        BOTH,
        left_out={"README.md": "is not an image"},
    ),
    taken(
        "Parquet with validation",
        tarred({"train.parquet": parquet("train", 8), "validation.parquet": parquet("val", 2)}, "tar.gz"),
        FOUR_ONE,
        val="test",
        notes=[BECAME],
    ),
    taken(
        "Parquet in shards",
        zipped({SHARD.format(0): parquet(None, 5), SHARD.format(1): parquet(None, 5, 5)}),
        FOUR_ONE,
    ),
    taken(
        "Parquet with a shard missing",
        zipped({SHARD.format(1): parquet(None, 10)}),
        FOUR_ONE,
        notes=["of the 2 files data/train-…-of-00002.parquet, 1 came"],
    ),
    taken(
        "Parquet of pandas, classes in words",
        alone(plain_parquet({"image": IMAGES, "label": [PAIR[n] for n in LABELS]})),
        FOUR_ONE,
    ),
    taken(
        "Parquet with numbers alone",
        alone(plain_parquet({"image": [photo("01"[n % 2], None, n) for n in range(10)], "label": LABELS})),
        {"0": (4, 1), "1": (4, 1)},
    ),
    taken(
        "Parquet with nulls",
        alone(
            plain_parquet(
                {"image": [*IMAGES, photo("frog"), None], "label": [*(PAIR[n] for n in LABELS), None, "frog"]}
            )
        ),
        FOUR_ONE,
        notes=["no image is here of 'frog'"],
        left_out={"00010.png": "label", "00011": "image"},
    ),
    refused(
        "Parquet with paths only",
        alone(
            plain_parquet(
                {
                    "image": pa.array(
                        [{"bytes": None, "path": "/home/me/0.png"}] * 2,
                        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
                    ),
                    "label": ["cat", "dog"],
                }
            )
        ),
        "holds no images, only where they lay on the computer that wrote it",
    ),
    refused(
        "Parquet with two label columns",
        alone(plain_parquet({"image": IMAGES, "label": LABELS, "category": LABELS})),
        "several columns that could be the labels",
    ),
    refused(
        "Parquet with several labels an image",
        alone(plain_parquet({"image": IMAGES, "label": [[n] for n in LABELS]})),
        "labels are whole numbers or texts",
    ),
    refused("Parquet without labels", alone(plain_parquet({"image": IMAGES})), "has no column that is called label"),
    refused("Parquet cut short", alone(parquet(None, 10)[:-200]), "'upload' is damaged or cut short"),
    refused(
        "Parquet beside class folders",
        zipped({**PETS, "train.parquet": parquet("train", 10)}),
        "is an image file beside files that hold images",
    ),
    refused(
        "Parquet and arrays",
        zipped({"train.parquet": parquet("train", 10), "pets.npz": _medmnist()}),
        "these may be the same images twice",
    ),
    taken("MedMNIST", alone(_medmnist()), WITH_VAL, notes=[BECAME]),
    taken(
        "MedMNIST in gray, in a tar.xz",
        tarred({"breastmnist.npz": _medmnist(gray_only=True)}, "tar.xz"),
        WITH_VAL,
        notes=[BECAME],
    ),
    taken("npz of Keras", alone(npz(_keras())), THREE),
    taken(
        "npy files of Keras, zipped, backslashes",
        backslashed({f"pets/{name}.npy": npy(array) for name, array in _keras().items()}),
        THREE,
    ),
    taken("npz in a tar.zst", tarred({"pets.npz": npz(_keras())}, "tar.zst"), THREE),
    taken(
        "channels first",
        alone(npz(dict(zip(("images", "labels"), _arrays(None, 15, channels_first=True), strict=True)))),
        dict.fromkeys("012", (4, 1)),
    ),
    taken("floats from 0 to 1", alone(npz(FLOATS)), dict.fromkeys("012", (4, 1))),
    taken(
        "Fortran's order",
        alone(npz({"images": np.asfortranarray(_arrays(None, 15)[0]), "labels": np.arange(15) % 3})),
        dict.fromkeys("012", (4, 1)),
    ),
    refused(
        "floats from -1 to 1",
        alone(npz({**FLOATS, "images": FLOATS["images"] * 2 - 1})),
        "which one is white cannot be told",
    ),
    refused("one-hot labels", alone(npz({**FLOATS, "labels": np.eye(3)[FLOATS["labels"]]})), "several labels an image"),
    refused(
        "images without labels",
        alone(npz({"train_images": _arrays(None, 6)[0]})),
        "holds images, and no file holds their labels",
    ),
    refused(
        "fewer labels than images",
        alone(npz({**FLOATS, "labels": FLOATS["labels"][:-1]})),
        "has 14 labels for the 15 images",
    ),
    refused(
        "arrays beside class folders",
        zipped({**PETS, "pets.npz": npz(_keras())}),
        "is an image file beside files that hold images",
    ),
    taken("MNIST", zipped(_mnist()), THREE),
    taken(
        "MNIST, each packed by gzip, in a tar.gz",
        tarred({f"{name}.gz": gzip.compress(content) for name, content in _mnist().items()}, "tar.gz"),
        THREE,
    ),
    refused(
        "MNIST's images without labels",
        zipped({name: c for name, c in _mnist().items() if "labels" not in name}),
        "no file holds their labels",
    ),
    refused(
        "MNIST's labels of the other part",
        zipped(
            {
                "train-images-idx3-ubyte": _mnist()["train-images-idx3-ubyte"],
                "train-labels-idx1-ubyte": _mnist()["t10k-labels-idx1-ubyte"],
            }
        ),
        "has 6 labels for the 12 images",
    ),
    taken(
        "CIFAR-10's binary version",
        tarred(
            {
                "cifar-10-batches-bin/batches.meta.txt": TEN,
                **{f"cifar-10-batches-bin/data_batch_{n}.bin": _cifar("train", 3) for n in range(1, 6)},
                "cifar-10-batches-bin/test_batch.bin": _cifar("test", 6),
            },
            "tar.gz",
        ),
        dict.fromkeys("012", (5, 2)),
    ),
    taken(
        "CIFAR-100's binary version",
        zipped({"train.bin": _cifar("train", 12, 2), "test.bin": _cifar("test", 6, 2)}),
        THREE,
        notes=["CIFAR-100's fine labels"],
    ),
    refused(
        "CIFAR's batch cut short",
        zipped({"data_batch_1.bin": _cifar("train", 3)[:-1]}),
        "and CIFAR-10's binary version has rows of 3,073",
    ),
    refused(
        "CIFAR-10's pickles",
        tarred({f"cifar-10-batches-py/data_batch_{n}": b"\x80\x02}q\0" + bytes(600) for n in range(1, 6)}, "tar.gz"),
        "the archive holds no images",
    ),
    refused(
        "one image as .npy, in class folders",
        zipped({f"{name}/{n}.npy": npy(pixels(name)) for name in PAIR for n in range(3)}),
        "npy",
    ),
]
