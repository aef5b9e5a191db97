"""One ingestion from claim to rows: read the source, pack it, put the arrays, record."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

import structlog
from sqlalchemy.orm import Session

from noisegate.data.bases import Base
from noisegate.data.duplicates import find_duplicates
from noisegate.data.limits import archive_limits, image_limits
from noisegate.data.members import Arriving
from noisegate.data.packing import PackedDataset, pack, pack_relabelled
from noisegate.data.sources import LICENCES, digits_members
from noisegate.data.uploads import read_upload
from noisegate.errors import NoisegateError, StorageUnavailable
from noisegate.store import files, ingestions
from noisegate.store.datasets import LABELS
from noisegate.store.ingestions import Packed
from noisegate.store.json_columns import readable
from noisegate.store.leases import Lease, LeaseLost, Renewed, renew_each
from noisegate.store.packed import fetch_originals, open_packed
from noisegate.store.quotas import check_room
from noisegate.store.tables import Dataset
from worker.lease import DATABASE_AWAY, Draining, Forfeited, Heartbeat, draining
from worker.problems import failure_of
from worker.resources import Resources

log = structlog.get_logger(__name__)

# By name: it loads torch, which takes seconds and hundreds of MiB that no other source needs.
_CIFAR10_MEMBERS = "noisegate.data.cifar10:cifar10_members"


def ingest_one(resources: Resources, dataset_id: str) -> None:
    """Claim this dataset, or if it is taken the one that has waited longest, and bring it to its end: ready or failed."""
    settings = resources.settings
    if draining.is_set():
        return  # the row stays for another worker, whose reaper will find it
    with resources.sessions.begin() as session:
        claimed = None
        for wanted in (dataset_id, None):
            claimed = claimed or ingestions.claim(
                session, wanted, owner=resources.owner, lease_seconds=settings.lease_seconds
            )
    if claimed is None:
        return
    dataset, lease = claimed
    with structlog.contextvars.bound_contextvars(dataset=dataset.id, attempt=lease.attempt):
        _bring_to_its_end(resources, dataset, lease)


def _bring_to_its_end(resources: Resources, dataset: Dataset, lease: Lease) -> None:
    log.info("ingestion_claimed", dataset=dataset.id, source=dataset.source, attempt=lease.attempt)
    try:
        packed = _ingest(resources, dataset, lease)
    except Draining:
        with resources.sessions.begin() as session:
            ingestions.release(session, lease)
        resources.wakeups.ingest(dataset.id)
    except (Forfeited, LeaseLost):
        log.warning("ingestion_forfeited", dataset=dataset.id)
    except (*DATABASE_AWAY, StorageUnavailable):
        log.exception("ingestion_left_to_the_reaper", dataset=dataset.id)
    except Exception as error:
        # Bad archives and full disks end here, and so do unexpected errors: the dataset fails and says why.
        log.warning("ingestion_failed", dataset=dataset.id, exc_info=not isinstance(error, NoisegateError))
        with resources.sessions.begin() as session:
            ingestions.record_failed(session, lease, failure_of(error, resources.owner))
        _discard_upload_of(resources, dataset)
    else:
        _look_for_copies(resources, dataset.id, packed.names)


def _ingest(resources: Resources, dataset: Dataset, lease: Lease) -> PackedDataset:
    settings, artefacts = resources.settings, resources.artefacts
    done = 0

    def beat(session: Session, held: Sequence[Lease]) -> Renewed:
        lost = renew_each(session, Dataset, held, settings.lease_seconds, {dataset.id: {"images_done": done}})
        return Renewed(lost, may_go_on=True)

    def note(images: int) -> None:
        nonlocal done
        done = images
        heartbeat.check()
        check_room(artefacts, min_free_bytes=settings.min_free_bytes)

    with (
        artefacts.scratch() as folder,
        Heartbeat(resources.sessions, [lease], beat, seconds=settings.heartbeat_seconds) as heartbeat,
    ):
        heartbeat.check()
        onto = _base_of(resources, dataset)
        base = Base.of(onto.name, open_packed(artefacts, onto), fetch_originals(artefacts, onto)) if onto else None
        heartbeat.check()
        packed = _packed(resources, dataset, onto, base, folder, note)
        heartbeat.check()
        digests = [artefacts.seal(file) for file in packed.paths]
        shared = [str(onto.originals_digest), *(onto.shared_originals or ())] if onto else None
        heartbeat.persist(partial(_record, resources, dataset, lease, packed, digests, shared))
    _discard_upload_of(resources, dataset)
    return packed


def _packed(
    resources: Resources,
    dataset: Dataset,
    onto: Dataset | None,
    base: Base | None,
    folder: Path,
    note: Callable[[int], None],
) -> PackedDataset:
    if dataset.source == LABELS:
        assert base is not None, "labels are for the images of a base"
        assert onto is not None
        assert dataset.upload_digest, "labels come as a table"
        with resources.sessions.reading() as session:
            report = session.get_one(Dataset, onto.id).report
        table = resources.artefacts.read(dataset.upload_digest)
        return pack_relabelled(base, table, folder, note, readable(report).images if report else None)
    limits = image_limits(resources.settings)
    members = _members(resources, dataset, folder)
    return pack(members, dataset.image_size, folder, note, limits, dataset.reading, base)


def _base_of(resources: Resources, dataset: Dataset) -> Dataset | None:
    """The dataset that this one is added to; it is not deleted as long as this one is being ingested."""
    if dataset.base_id is None:
        return None
    with resources.sessions.reading() as session:
        return session.get_one(Dataset, dataset.base_id)


def _members(resources: Resources, dataset: Dataset, folder: Path) -> Iterable[Arriving]:
    match dataset.source:
        case "digits":
            return digits_members()
        case "cifar10":
            members: Iterable[Arriving] = resolve_name(_CIFAR10_MEMBERS)(folder)
            return members
        case _:
            assert dataset.upload_digest, "an upload has an archive"
            archive = resources.artefacts.fetch(dataset.upload_digest)
            limits = archive_limits(resources.settings)
            return read_upload(archive, limits, folder, dataset.reading.names, dataset.file_name)


def _record(
    resources: Resources,
    dataset: Dataset,
    lease: Lease,
    packed: PackedDataset,
    digests: Sequence[str],
    shared: list[str] | None,
) -> None:
    """Put the arrays where their digests are looked for and enter them, while no other process may remove them."""
    images_digest, labels_digest, originals_digest, index_digest = digests
    found = Packed(
        classes=list(packed.classes),
        counts={split: dict(counts) for split, counts in packed.counts.items()},
        train_count=packed.train_count,
        test_count=packed.test_count,
        skipped=packed.skipped,
        content_hash=packed.content_hash,
        images_digest=images_digest,
        labels_digest=labels_digest,
        licence=LICENCES.get(dataset.source),
        originals_digest=originals_digest,
        originals_index_digest=index_digest,
        originals_bytes=packed.originals_bytes,
        longer_side=packed.longer_side,
        report=packed.report,
        shared_originals=shared,
    )
    try:
        with resources.sessions.begin() as session:
            files.lock(session)
            for file, digest in zip(packed.paths, digests, strict=True):
                if file.exists():  # not so when the database went away after an earlier try
                    resources.artefacts.place(file, digest)
            ready = ingestions.record_ready(session, lease, found)
    finally:
        # Those that no row names: another worker has taken over, or the content was known and had its originals.
        files.discard(resources.sessions, resources.artefacts, digests)
    log.info("ingestion_ready", dataset=dataset.id, answers_as=ready.id, images=packed.train_count + packed.test_count)


def _look_for_copies(resources: Resources, dataset_id: str, names: Sequence[str]) -> None:
    """Complete the report of a dataset that is ready: comparing all images takes a while, in which it can be used already.

    A worker that shuts down meanwhile gives it up.
    """

    said_at = time.monotonic()

    def go_on(_share: float) -> None:
        nonlocal said_at
        if draining.is_set():
            raise Draining
        if time.monotonic() - said_at > ingestions.COPIES_SECONDS / 4:
            said_at = time.monotonic()
            with resources.sessions.begin() as session:
                ingestions.go_on_looking_for_copies(session, dataset_id)

    try:
        with resources.sessions.reading() as session:
            dataset = session.get(Dataset, dataset_id)
        if dataset is None or dataset.same_as is not None:
            return
        packed = open_packed(resources.artefacts, dataset)
        found = find_duplicates(packed.images, packed.labels, packed.train_count, names, packed.classes, go_on)
        with resources.sessions.begin() as session:
            ingestions.note_duplicates(session, dataset_id, found)
    except (Draining, FileNotFoundError, *DATABASE_AWAY, StorageUnavailable) as error:
        # Shut down, deleted meanwhile, or away: the dataset is whole without it.
        log.warning("copies_not_looked_for", dataset=dataset_id, reason=repr(error))
        with suppress(*DATABASE_AWAY), resources.sessions.begin() as session:
            ingestions.give_up_copies(session, dataset_id)


def _discard_upload_of(resources: Resources, dataset: Dataset) -> None:
    # The archive has served; it goes, unless the same bytes wait to be ingested at another size.
    if dataset.upload_digest is not None:
        files.discard(resources.sessions, resources.artefacts, [dataset.upload_digest])
