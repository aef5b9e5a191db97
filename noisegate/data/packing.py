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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from noisegate.api.dataset_report import DatasetReport
from noisegate.api.reading import AS_IT_IS, Reading
from noisegate.data.bad_images import BadImages
from noisegate.data.bases import Base, added_to
from noisegate.data.layouts import SPLITS, Contents, Layout, Split, resolve_layout
from noisegate.data.members import Attachment, Label, LeftOut, Member, Told
from noisegate.data.originals import INDEX_FILE, ORIGINALS_FILE, Arrivals, Entry, index_bytes
from noisegate.data.reporting import ImageCounts, report_of
from noisegate.disk import storage_errors
from noisegate.errors import InvalidImage, TooLarge
from noisegate.inference.decoding import ImageLimits, open_image, resize_pixels

IMAGES_FILE = "images.npy"
LABELS_FILE = "labels.npy"

_PROGRESS_SECONDS = 0.5
_CHUNK_BYTES = 8 * 2**20
_LABEL_TYPE = np.dtype("<i8")


@dataclass(frozen=True)
class PackedDataset:
    """A packed data set. `counts` has the images of every class in every split; `skipped` counts the files that were left out.

    `longer_side` is the median over the originals, in pixels; `names` are the images' paths, in their final order.
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
    names: tuple[str, ...]
    report: DatasetReport

    @property
    def paths(self) -> tuple[Path, Path, Path, Path]:
        """Of its files."""
        return self.images_path, self.labels_path, self.originals_path, self.index_path


def pack(
    members: Iterable[Member | Attachment | LeftOut | Told],
    image_size: int,
    folder: Path,
    progress: Callable[[int], None],
    image_limits: ImageLimits,
    reading: Reading = AS_IT_IS,
    base: Base | None = None,
) -> PackedDataset:
    """Decode `members` and write them to `images.npy` and `labels.npy` in `folder`, which exists, beside their originals.

    With a `base`, packed at this size, they are added to its images, of which the pixels are copied. The originals are those of
    the added images alone; the index says where in the base's files the others lie.

    `progress` is told the number of images decoded so far, about every half second; what it raises ends the packing.
    Memory does not grow with the images, only by a few hundred bytes for the path of each. The disk is needed twice
    over while packing. After a failure none of the files is there.

    Raises:
        InvalidImage, TooLarge: members do not decode or are over `image_limits`, and are not to be left out; all are named.
        InvalidArchive: the paths make no data set, an image is in the base under another class, or what `members` raises.
        StorageFull: no room left in `folder`.
    """
    with (
        storage_errors(),
        tempfile.TemporaryFile(dir=folder) as scratch,
        tempfile.TemporaryFile(dir=folder) as encoded,
    ):
        arrived = _Arrived(Arrivals(encoded), scratch, image_size, image_limits, BadImages(reading.bad_images))
        arrived.take(members, progress)

        def note() -> None:
            progress(arrived.count)

        sent = resolve_layout(arrived.contents(), reading.validation, base.known_classes if base else None)
        layout, added = added_to(base, sent, arrived.paths, arrived.files, note) if base else (sent, None)
        together = _Together(base, arrived, layout)
        labels = _labels(layout)
        files = [folder / name for name in (IMAGES_FILE, LABELS_FILE, ORIGINALS_FILE, INDEX_FILE)]
        with _whole_or_not_at_all(*files) as (images_file, labels_file, originals_file, index_file):
            np.save(labels_file, labels, allow_pickle=False)
            write_header(images_file, len(labels), image_size)
            digest = _header_digest(layout, labels, image_size)
            for chunk in together.pixels(3 * image_size**2):
                images_file.write(chunk)
                digest.update(chunk)
                note()
            entries = together.write_originals(originals_file, note)
            shared_sizes = base.originals.file_sizes if base else []
            index_file.write(index_bytes(entries, [originals_file.tell(), *shared_sizes]))
    counts = _counts(layout)
    found = arrived.sides.found([image.index for image in sent.images])
    return PackedDataset(
        classes=layout.classes,
        image_size=image_size,
        train_count=sum(counts["train"].values()),
        test_count=sum(counts["test"].values()),
        counts=counts,
        content_hash=digest.hexdigest(),
        skipped=len(layout.left_out),
        images_path=files[0],
        labels_path=files[1],
        originals_path=files[2],
        index_path=files[3],
        originals_bytes=files[2].stat().st_size,
        longer_side=int(np.median([entry.longer_side or 0 for entry in entries])),
        names=tuple(entry.name for entry in entries),
        report=report_of(layout, together.paths, found, arrived.told, added),
    )


def write_header(file: IO[bytes], count: int, image_size: int) -> None:
    """Begin an `.npy` file of `count` images; their pixels follow."""
    shape = (count, image_size, image_size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


class _Arrived:
    """What has come out of an upload so far: pixels in `scratch`, files in `files`, and all else that a layout asks for."""

    def __init__(
        self, files: Arrivals, scratch: IO[bytes], image_size: int, limits: ImageLimits, bad_images: BadImages
    ) -> None:
        self.files = files
        self.paths: list[str] = []
        self.sides = ImageCounts()
        self._labels: list[Label | None] = []
        self._attachments: dict[str, bytes] = {}
        self._left_out: list[LeftOut] = []
        self.told: list[str] = []
        self._scratch = scratch
        self._image_size = image_size
        self._limits = limits
        self._bad_images = bad_images

    @property
    def count(self) -> int:
        """Images decoded."""
        return len(self.paths)

    def take(self, members: Iterable[Member | Attachment | LeftOut | Told], progress: Callable[[int], None]) -> None:
        """All of them, telling `progress` of the images decoded; raises for those that are bad, once all have been looked at."""
        told_at = time.monotonic()
        for member in members:
            if isinstance(member, Member):
                self._decode(member)
            elif isinstance(member, Attachment):
                self._attachments[member.name] = member.content
            elif isinstance(member, Told):
                self.told.append(member.sentence)
            else:
                self._left_out.append(member)
            # By the clock: 256 small images are decoded in a moment, 256 photographs in a minute.
            if time.monotonic() - told_at >= _PROGRESS_SECONDS:
                progress(self.count)
                told_at = time.monotonic()
        self._scratch.flush()
        self.files.flush()
        progress(self.count)
        self._left_out += self._bad_images.left_out(self.count)

    def contents(self) -> Contents:
        return Contents(self.paths, self._labels, self._attachments, self._left_out)

    def pixels(self, index: int, image_bytes: int) -> bytes:
        """Of the image that came as number `index`."""
        return os.pread(self._scratch.fileno(), image_bytes, index * image_bytes)

    def _decode(self, member: Member) -> None:
        try:
            pixels = self._pixels(member)
        except (InvalidImage, TooLarge) as error:
            self._bad_images.add(member.name, error)
            return
        self._scratch.write(pixels.tobytes())
        self.files.add(member)
        self.paths.append(member.name)
        self._labels.append(member.label)

    def _pixels(self, member: Member) -> npt.NDArray[np.uint8]:
        if not isinstance(member.content, bytes):
            height, width = member.content.shape[:2]
            self.sides.add(None, width, height)
            return resize_pixels(member.content, self._image_size)
        image = open_image(member.content, self._limits)
        pixels = image.pixels(self._image_size)
        self.sides.add(image.container.kind, image.width, image.height)
        return pixels


class _Together:
    """The images of a data set in its final order: those of the base, if there is one, and those that came."""

    def __init__(self, base: Base | None, arrived: _Arrived, layout: Layout) -> None:
        self._base = base
        self._arrived = arrived
        self._order = [image.index for image in layout.images]
        self._keys = [image.name for image in layout.images]
        self._base_count = len(base) if base else 0
        base_paths = [base.originals.name(place) for place in range(len(base))] if base else []
        self.paths: Sequence[str] = base_paths + arrived.paths
        """By their index in the layout."""

    def pixels(self, image_bytes: int) -> Iterator[bytes]:
        """In pieces of about 8 MiB."""
        batch = max(1, _CHUNK_BYTES // image_bytes)
        for start in range(0, len(self._order), batch):
            yield b"".join(self._pixels(index, image_bytes) for index in self._order[start : start + batch])

    def _pixels(self, index: int, image_bytes: int) -> bytes:
        if self._base is not None and index < self._base_count:
            pixels: bytes = self._base.images[index].tobytes()
            return pixels
        return self._arrived.pixels(index - self._base_count, image_bytes)

    def write_originals(self, file: IO[bytes], note: Callable[[], None]) -> list[Entry]:
        """Write the files that came to `file`; returns the entries of all images for the index."""
        entries = []
        told_at = 0
        for index, key in zip(self._order, self._keys, strict=True):
            if self._base is not None and index < self._base_count:
                entries.append(self._base.entry(index))
                continue
            came_as = index - self._base_count
            start = file.tell()
            size = file.write(self._arrived.files.read(came_as))
            side = self._arrived.sides.longer_side(came_as)
            entries.append(Entry(self._arrived.paths[came_as], key, side, 0, start, size))
            if file.tell() - told_at >= _CHUNK_BYTES:
                note()
                told_at = file.tell()
        return entries


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
