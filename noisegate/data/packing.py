"""Images of a data set to two files: `images.npy`, uint8 (N, size, size, 3), and `labels.npy`, int64 (N).

The files that they came as are kept beside them (noisegate.data.originals), to be packed at other sizes later.

Training images come first, then test images, each in a fixed shuffle that depends on their paths alone. So the same
folders give the same bytes and the same hash, in whichever archive and order they come.
"""

import hashlib
import json
import os
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from noisegate.data.layouts import SPLITS, Layout, Split, resolve_layout
from noisegate.data.members import Member, Skipped
from noisegate.data.originals import INDEX_FILE, ORIGINALS_FILE, Arrivals, index_bytes
from noisegate.disk import storage_errors
from noisegate.errors import InvalidImage, TooLarge
from noisegate.inference.decoding import ImageLimits, decode_with_size, resize_pixels

IMAGES_FILE = "images.npy"
LABELS_FILE = "labels.npy"

_PROGRESS_SECONDS = 0.5
_CHUNK_BYTES = 8 * 2**20
_LABEL_TYPE = np.dtype("<i8")


@dataclass(frozen=True)
class PackedDataset:
    """A packed data set. `counts` has the images of every class in every split; `skipped` the files that were no images.

    `longer_side` is the median over the originals, in pixels.
    """

    classes: tuple[str, ...]
    image_size: int
    train_count: int
    test_count: int
    counts: Mapping[Split, Mapping[str, int]]
    content_hash: str
    skipped: int
    images_path: Path
    labels_path: Path
    originals_path: Path
    index_path: Path
    originals_bytes: int
    longer_side: int

    @property
    def paths(self) -> tuple[Path, Path, Path, Path]:
        """Of its files."""
        return self.images_path, self.labels_path, self.originals_path, self.index_path


def pack(
    members: Iterable[Member | Skipped],
    image_size: int,
    folder: Path,
    progress: Callable[[int], None],
    image_limits: ImageLimits,
) -> PackedDataset:
    """Decode `members` and write them to `images.npy` and `labels.npy` in `folder`, which exists, beside their originals.

    `progress` is told the number of images decoded so far, about every half second; what it raises ends the packing.
    Memory does not grow with the images, only by a few hundred bytes for the path of each. The disk is needed twice
    over while packing. After a failure none of the files is there.

    Raises:
        InvalidImage, TooLarge: a member does not decode or is over `image_limits`; the detail begins with its name.
        InvalidArchive: the paths make no data set, or what `members` raises.
        StorageFull: no room left in `folder`.
    """
    with (
        storage_errors(),
        tempfile.TemporaryFile(dir=folder) as scratch,
        tempfile.TemporaryFile(dir=folder) as encoded,
    ):
        arrivals = Arrivals(encoded)
        paths, longer_sides, skipped = _decode_all(members, image_size, scratch, arrivals, progress, image_limits)
        layout = resolve_layout(paths)
        labels = _labels(layout)
        files = [folder / name for name in (IMAGES_FILE, LABELS_FILE, ORIGINALS_FILE, INDEX_FILE)]
        with _whole_or_not_at_all(*files) as (images_file, labels_file, originals_file, index_file):
            np.save(labels_file, labels, allow_pickle=False)
            write_header(images_file, len(labels), image_size)
            digest = _header_digest(layout, labels, image_size)
            for chunk in _in_order(scratch, layout, 3 * image_size**2):
                images_file.write(chunk)
                digest.update(chunk)
                progress(len(paths))
            order = [image.index for image in layout.images]
            told_at = 0
            for original in arrivals.in_order(order):
                originals_file.write(original)
                if originals_file.tell() - told_at >= _CHUNK_BYTES:
                    progress(len(paths))
                    told_at = originals_file.tell()
            index_file.write(index_bytes([arrivals.size(index) for index in order], [paths[index] for index in order]))
    counts = _counts(layout)
    return PackedDataset(
        classes=layout.classes,
        image_size=image_size,
        train_count=sum(counts["train"].values()),
        test_count=sum(counts["test"].values()),
        counts=counts,
        content_hash=digest.hexdigest(),
        skipped=skipped,
        images_path=files[0],
        labels_path=files[1],
        originals_path=files[2],
        index_path=files[3],
        originals_bytes=files[2].stat().st_size,
        longer_side=int(np.median(longer_sides)),
    )


def write_header(file: IO[bytes], count: int, image_size: int) -> None:
    """Begin an `.npy` file of `count` images; their pixels follow."""
    shape = (count, image_size, image_size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _decode_all(
    members: Iterable[Member | Skipped],
    image_size: int,
    scratch: IO[bytes],
    arrivals: Arrivals,
    progress: Callable[[int], None],
    limits: ImageLimits,
) -> tuple[list[str], Sequence[int], int]:
    """Pixels to `scratch` and files to `arrivals` as they come.

    Returns the paths in that order, the longer side of each original in pixels, and how many files were skipped.
    """
    paths: list[str] = []
    longer_sides = array("i")
    skipped = 0
    told_at = time.monotonic()
    for member in members:
        if isinstance(member, Skipped):
            skipped += 1
        else:
            pixels, longer_side = _pixels(member, image_size, limits)
            scratch.write(pixels.tobytes())
            longer_sides.append(longer_side)
            arrivals.add(member)
            paths.append(member.name)
        # By the clock: 256 small images are decoded in a moment, 256 photographs in a minute.
        if time.monotonic() - told_at >= _PROGRESS_SECONDS:
            progress(len(paths))
            told_at = time.monotonic()
    scratch.flush()
    progress(len(paths))
    return paths, longer_sides, skipped


def _pixels(member: Member, image_size: int, limits: ImageLimits) -> tuple[npt.NDArray[np.uint8], int]:
    """The image at its new size, and the longer side that it had."""
    if not isinstance(member.content, bytes):
        return resize_pixels(member.content, image_size), max(member.content.shape[:2])
    try:
        pixels, sides = decode_with_size(member.content, image_size, limits)
        return pixels, max(sides)
    except (InvalidImage, TooLarge) as error:
        remedy = f"{error.remedy} Or leave it out of the archive."
        raise type(error)(f"{member.name!r}: {error.detail}", field="archive", remedy=remedy) from error


def _labels(layout: Layout) -> npt.NDArray[np.int64]:
    label_of = {name: label for label, name in enumerate(layout.classes)}
    return np.array([label_of[image.class_name] for image in layout.images], _LABEL_TYPE)


def _counts(layout: Layout) -> dict[Split, dict[str, int]]:
    found = Counter((image.split, image.class_name) for image in layout.images)
    return {split: {name: found[split, name] for name in layout.classes} for split in SPLITS}


def _header_digest(layout: Layout, labels: npt.NDArray[np.int64], image_size: int) -> "hashlib._Hash":
    """SHA-256 over everything but the pixels, in a form that no two data sets share."""
    train_count = sum(image.split == "train" for image in layout.images)
    described = {"image_size": image_size, "classes": layout.classes, "train": train_count, "images": len(labels)}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(labels.tobytes())
    return digest


def _in_order(scratch: IO[bytes], layout: Layout, image_bytes: int) -> Iterator[bytes]:
    """The pixels of all images in the layout's order, in pieces of about 8 MiB."""
    batch = max(1, _CHUNK_BYTES // image_bytes)
    for start in range(0, len(layout.images), batch):
        images = layout.images[start : start + batch]
        yield b"".join(os.pread(scratch.fileno(), image_bytes, image.index * image_bytes) for image in images)


@contextmanager
def _whole_or_not_at_all(*paths: Path) -> Iterator[Sequence[IO[bytes]]]:
    """Files to write beside `paths`; they take their places, flushed to the disk, only if nothing fails.

    Ordinary writes, not a writable memory map: on a full disk a map ends the process with SIGBUS.
    """
    partial = [path.with_suffix(".partial") for path in paths]
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in partial]
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for source, target in zip(partial, paths, strict=True):
            source.replace(target)
    finally:
        for path in partial:
            path.unlink(missing_ok=True)
