"""Images of a data set to two files: `images.npy`, uint8 (N, size, size, 3), and `labels.npy`, int64 (N).

The files that they came as are kept beside them (noisegate.data.originals), to be packed at other sizes later.

Training images come first, then test images, each in a fixed shuffle that depends on their paths alone. So the same
folders give the same bytes and the same hash, in whichever archive and order they come.
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from noisegate.api.dataset_report import DatasetReport, ImagesFound
from noisegate.api.reading import AS_IT_IS, Reading
from noisegate.data.arrived import Arrived
from noisegate.data.bad_images import BadImages
from noisegate.data.bases import Base, added_to
from noisegate.data.decoding import Decoder
from noisegate.data.layouts import SPLITS, Layout, Split, resolve_layout
from noisegate.data.members import Arriving
from noisegate.data.originals import INDEX_FILE, ORIGINALS_FILE, Arrivals, Entry, index_bytes
from noisegate.data.relabelling import read_labels, relabelled
from noisegate.data.reporting import report_of
from noisegate.disk import storage_errors
from noisegate.inference.decoding import ImageLimits

IMAGES_FILE = "images.npy"
LABELS_FILE = "labels.npy"

_CHUNK_BYTES = 8 * 2**20
# Small images are written one at a time: with Python's own buffer of 8 KiB, every third would be a call to the system.
_BUFFER_BYTES = 2**20
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
    members: Iterable[Arriving],
    image_size: int,
    folder: Path,
    progress: Callable[[int], None],
    image_limits: ImageLimits,
    reading: Reading = AS_IT_IS,
    base: Base | None = None,
    *,
    beside: bool = True,
) -> PackedDataset:
    """Decode `members` and write them to `images.npy` and `labels.npy` in `folder`, which exists, beside their originals.

    With a `base`, packed at this size, they are added to its images, of which the pixels are copied. The originals are those of
    the added images alone; the index says where in the base's files the others lie.

    `progress` is told the number of images decoded so far, about every half second; what it raises ends the packing.
    Memory does not grow with the images, only by a few hundred bytes for the path of each. The disk is needed twice
    over while packing. After a failure none of the files is there. `beside`: whether a second process may decode.

    Raises:
        InvalidImage, TooLarge: members do not decode or are over `image_limits`, and are not to be left out; all are named.
        InvalidArchive: the paths make no data set, an image is in the base under another class, or what `members` raises.
        StorageFull: no room left in `folder`.
    """
    with (
        storage_errors(),
        tempfile.TemporaryFile(dir=folder, buffering=_BUFFER_BYTES) as scratch,
        tempfile.TemporaryFile(dir=folder, buffering=_BUFFER_BYTES) as encoded,
    ):
        arrived = Arrived(Arrivals(encoded), scratch, image_size, BadImages(reading.bad_images))
        with Decoder(image_size, image_limits, beside=beside) as decoder:
            arrived.take(members, decoder, progress)

        def note() -> None:
            progress(arrived.count)

        sent = resolve_layout(arrived.contents(), reading.validation, base.known_classes if base else None)
        layout, added = added_to(base, sent, arrived.paths, arrived.files, note) if base else (sent, None)
        together = _Together(base, arrived, layout)
        files = _files_in(folder)
        content_hash, entries = _write(files, layout, together, image_size, note)
    found = arrived.sides.found([image.index for image in sent.images])
    report = report_of(layout, together.paths, found, arrived.told, added)
    return _packed(files, layout, image_size, content_hash, entries, report)


def pack_relabelled(
    base: Base, labels: bytes, folder: Path, progress: Callable[[int], None], found: ImagesFound | None
) -> PackedDataset:
    """The images of a data set with other labels, in the same files as `pack` makes: pixels are copied, originals are shared.

    Args:
        labels: a table (noisegate.data.relabelling).
        found: what the base's report says of its images; None of a base from before reports, whose files are looked at.

    Raises:
        InvalidArchive: the table cannot be used.
        StorageFull: no room left in `folder`.
    """
    layout = relabelled(base, read_labels(labels, base))
    together, files = _Together(base, None, layout), _files_in(folder)
    with storage_errors():
        content_hash, entries = _write(files, layout, together, base.images.shape[1], lambda: progress(0))
    report = report_of(layout, together.paths, found or base.images_found(), ())
    return _packed(files, layout, base.images.shape[1], content_hash, entries, report)


def _files_in(folder: Path) -> list[Path]:
    return [folder / name for name in (IMAGES_FILE, LABELS_FILE, ORIGINALS_FILE, INDEX_FILE)]


def _packed(
    files: Sequence[Path],
    layout: Layout,
    image_size: int,
    content_hash: str,
    entries: Sequence[Entry],
    report: DatasetReport,
) -> PackedDataset:
    counts = _counts(layout)
    return PackedDataset(
        classes=layout.classes,
        image_size=image_size,
        train_count=sum(counts["train"].values()),
        test_count=sum(counts["test"].values()),
        counts=counts,
        content_hash=content_hash,
        skipped=len(layout.left_out),
        images_path=files[0],
        labels_path=files[1],
        originals_path=files[2],
        index_path=files[3],
        originals_bytes=files[2].stat().st_size,
        longer_side=int(np.median([entry.longer_side or 0 for entry in entries])),
        names=tuple(entry.name for entry in entries),
        report=report,
    )


def write_header(file: IO[bytes], count: int, image_size: int) -> None:
    """Begin an `.npy` file of `count` images; their pixels follow."""
    shape = (count, image_size, image_size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


class _Together:
    """The images of a data set in its final order: those of the base, if there is one, and those that came, if any did."""

    def __init__(self, base: Base | None, arrived: Arrived | None, layout: Layout) -> None:
        self._base = base
        self._arrived = arrived
        self._order = [image.index for image in layout.images]
        self._keys = [image.name for image in layout.images]
        self._base_count = len(base) if base else 0
        base_paths = [base.originals.name(place) for place in range(len(base))] if base else []
        self.paths: Sequence[str] = base_paths + (arrived.paths if arrived else [])
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
        assert self._arrived is not None, "what is not the base's has come"
        return self._arrived.pixels(index - self._base_count, image_bytes)

    @property
    def shared_sizes(self) -> Sequence[int]:
        """Of the base's files, in bytes."""
        return self._base.originals.file_sizes if self._base else []

    def write_originals(self, file: IO[bytes], note: Callable[[], None]) -> list[Entry]:
        """Write the files that came to `file`; returns the entries of all images for the index."""
        entries = []
        start = told_at = 0
        for index, key in zip(self._order, self._keys, strict=True):
            if self._base is not None and index < self._base_count:
                entries.append(self._base.entry(index))
                continue
            assert self._arrived is not None, "what is not the base's has come"
            came_as = index - self._base_count
            size = file.write(self._arrived.files.read(came_as))
            side = self._arrived.sides.longer_side(came_as)
            entries.append(Entry(self._arrived.paths[came_as], key, side, 0, start, size))
            start += size
            if start - told_at >= _CHUNK_BYTES:
                note()
                told_at = start
        return entries


def _write(
    paths: Sequence[Path], layout: Layout, together: _Together, image_size: int, note: Callable[[], None]
) -> tuple[str, list[Entry]]:
    """All four files; returns the content hash and what the index says of each image."""
    labels = _labels(layout)
    with _whole_or_not_at_all(*paths) as (images_file, labels_file, originals_file, index_file):
        np.save(labels_file, labels, allow_pickle=False)
        write_header(images_file, len(labels), image_size)
        digest = _header_digest(layout, labels, image_size)
        for chunk in together.pixels(3 * image_size**2):
            images_file.write(chunk)
            digest.update(chunk)
            note()
        entries = together.write_originals(originals_file, note)
        index_file.write(index_bytes(entries, [originals_file.tell(), *together.shared_sizes]))
    return digest.hexdigest(), entries


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
            files = [stack.enter_context(path.open("wb", buffering=_BUFFER_BYTES)) for path in partial]
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for source, target in zip(partial, paths, strict=True):
            source.replace(target)
    finally:
        for path in partial:
            path.unlink(missing_ok=True)
