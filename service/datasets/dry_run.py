"""`POST /datasets?dry_run=true`: the upload is read as a worker would read it, and nothing of it is kept."""

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from noisegate.api.dataset_report import DatasetReport
from noisegate.api.reading import Reading
from noisegate.data.bases import Base
from noisegate.data.duplicates import find_duplicates
from noisegate.data.limits import archive_limits, image_limits
from noisegate.data.packing import pack
from noisegate.data.uploads import read_upload
from noisegate.errors import NotFound
from noisegate.store import quotas
from noisegate.store.packed import fetch_originals, open_packed
from noisegate.store.tables import Dataset
from service.datasets.uploads import Received
from service.deps import Resources

# Reading images takes a core, which answers of /classify need too. Those that wait hold a file, and nothing in memory.
_one_at_a_time = CapacityLimiter(1)


async def inspected(
    resources: Resources, archive: Received, image_size: int, reading: Reading, base: Dataset | None
) -> DatasetReport:
    """What a worker would find in the archive, after as long as it would take; with a base, what it would add.

    Raises:
        InvalidArchive, InvalidImage, TooLarge, StorageFull: as its ingestion would fail.
    """
    return await run_sync(_inspect, resources, archive, image_size, reading, base, limiter=_one_at_a_time)


def _inspect(
    resources: Resources, archive: Received, image_size: int, reading: Reading, onto: Dataset | None
) -> DatasetReport:
    settings, artefacts = resources.settings, resources.artefacts

    def check_room(_images: int) -> None:
        quotas.check_room(artefacts, min_free_bytes=settings.min_free_bytes)

    base = _opened(resources, onto) if onto else None
    with artefacts.scratch() as folder:
        members = read_upload(archive.file, archive_limits(settings), folder, reading.names, archive.name)
        # Without a second process: answers need the other cores.
        packed = pack(members, image_size, folder, check_room, image_limits(settings), reading, base, beside=False)
        images = np.load(packed.images_path, mmap_mode="r", allow_pickle=False)  # noqa: TID251
        labels = np.load(packed.labels_path, allow_pickle=False)  # noqa: TID251
        duplicates = find_duplicates(images, labels, packed.train_count, packed.names, packed.classes)
        return packed.report.model_copy(update={"duplicates": duplicates, "duplicates_search": "finished"})


def _opened(resources: Resources, dataset: Dataset) -> Base:
    try:
        return Base.of(
            dataset.name,
            open_packed(resources.artefacts, dataset),
            fetch_originals(resources.artefacts, dataset),
        )
    except FileNotFoundError as error:
        # Deleted since it was looked up; this holds no transaction open while an upload comes.
        raise NotFound(
            f"there is no dataset {dataset.name!r} any more", field="base", remedy="GET /datasets lists them."
        ) from error
