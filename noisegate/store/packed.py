"""A ready dataset's files: its arrays, mapped into memory and never changed, and where its originals lie."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noisegate.store.artefacts import Artefacts
from noisegate.store.tables import Dataset


@dataclass(frozen=True)
class PackedArrays:
    """Images (n, size, size, 3), training images first, and their labels (n): places in `classes`."""

    classes: list[str]
    train_count: int
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    content_hash: str


def open_packed(artefacts: Artefacts, dataset: Dataset, images_digest: str | None = None) -> PackedArrays:
    """Map the arrays of a dataset that is ready; reading a slice reads only that from disk, once they are on this machine.

    Args:
        images_digest: of a view's images, in the place of those that the dataset was packed with.

    Raises:
        FileNotFoundError: the artefact root is not the one that ingestion wrote to.
    """
    assert dataset.images_digest, "the dataset is ready"
    assert dataset.labels_digest
    assert dataset.content_hash
    assert dataset.classes
    assert dataset.train_count is not None
    images = np.load(artefacts.fetch(images_digest or dataset.images_digest), mmap_mode="r", allow_pickle=False)  # noqa: TID251
    labels = np.load(artefacts.fetch(dataset.labels_digest), mmap_mode="r", allow_pickle=False)  # noqa: TID251
    return PackedArrays(dataset.classes, dataset.train_count, images, labels, dataset.content_hash)


@dataclass(frozen=True)
class OriginalFiles:
    """Where a dataset's originals lie on this machine, to be opened at once; `shared` are those of its base and of its bases."""

    content: Path
    index: Path
    shared: list[Path]


def fetch_originals(artefacts: Artefacts, dataset: Dataset) -> OriginalFiles:
    """The originals of a dataset that is ready and has them; of files that machines share, it may take as long as a download.

    Raises:
        FileNotFoundError: the artefact root is not the one that ingestion wrote to.
    """
    assert dataset.originals_digest, "asked for of datasets that have originals"
    assert dataset.originals_index_digest
    return OriginalFiles(
        artefacts.fetch(dataset.originals_digest),
        artefacts.fetch(dataset.originals_index_digest),
        [artefacts.fetch(digest) for digest in dataset.shared_originals or ()],
    )
