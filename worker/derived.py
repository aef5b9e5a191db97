"""One derived artefact from claim to rows: make it, put its files, record, let the executions go that wait for it.

Who makes which kind stands in `MAKERS`. A maker is given a `Making` and returns the files that the artefact consists of, by
name, in the making's scratch folder. What takes long it makes in pieces: each is kept when it is finished, so that another
worker goes on from there if this one is lost.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from noisegate.errors import NoisegateError, StorageUnavailable
from noisegate.store import awaiting, derivations, derived, files
from noisegate.store.derived import StoredFile
from noisegate.store.leases import Lease, LeaseLost, Renewed
from noisegate.store.tables import Derived
from worker.features import make_features
from worker.lease import DATABASE_AWAY, Cancelled, Draining, Forfeited, Heartbeat, draining
from worker.making import Making
from worker.problems import failure_of
from worker.resources import Resources
from worker.samples import make_inspection, make_sample_table
from worker.settling import settle
from worker.views import make_view

log = structlog.get_logger(__name__)

Maker = Callable[[Making], dict[str, Path]]

MAKERS: dict[str, Maker] = {
    "view": make_view,
    "features": make_features,
    "inspection": make_inspection,
    "sample_table": make_sample_table,
}


def make_one(resources: Resources, derived_id: str) -> None:
    """Claim this artefact, or if it is taken the one that has waited longest, and bring it to its end: ready or failed."""
    if draining.is_set():
        return  # the row stays for another worker, whose reaper will find it
    seconds = resources.settings.lease_seconds
    with resources.sessions.begin() as session:
        claimed = None
        for wanted in (derived_id, None):
            claimed = claimed or derivations.claim(session, wanted, owner=resources.owner, lease_seconds=seconds)
        pieces = derived.files_of(session, claimed[0].id) if claimed else {}
    if claimed is None:
        return
    row, lease = claimed
    with structlog.contextvars.bound_contextvars(derived=row.id, kind=row.kind, attempt=lease.attempt):
        log.info("derived_claimed", dataset=row.dataset_id, pieces=len(pieces))
        _bring_to_its_end(resources, row, lease, pieces)


def _bring_to_its_end(resources: Resources, row: Derived, lease: Lease, pieces: dict[str, StoredFile]) -> None:
    try:
        _make(resources, row, lease, pieces)
    except (Draining, Cancelled) as stop:
        # Its finished pieces stay. Cancelled: no execution waits for it any more; it is claimed again once one does.
        log.info("derived_given_back", reason=type(stop).__name__)
        _write(resources, lease, lambda session: derivations.release(session, lease))
        if isinstance(stop, Draining):
            resources.wakeups.derive(row.id)
    except (Forfeited, LeaseLost):
        log.warning("derived_forfeited")
    except (*DATABASE_AWAY, StorageUnavailable):
        log.exception("derived_left_to_the_reaper")
    except Exception as error:
        log.warning("derived_failed", exc_info=not isinstance(error, NoisegateError))
        failure = failure_of(error, resources.owner)
        discarded = _write(resources, lease, lambda session: derivations.record_failed(session, lease, failure))
        files.discard(resources.sessions, resources.artefacts, discarded or [])
        settle(resources)


def _make(resources: Resources, row: Derived, lease: Lease, pieces: dict[str, StoredFile]) -> None:
    settings = resources.settings

    def beat(session: Session, held: Sequence[Lease]) -> Renewed:
        if not held:
            return Renewed((), may_go_on=True)
        return derivations.renew(session, lease, settings.lease_seconds, done=making.done, total=making.total)

    with (
        resources.artefacts.scratch() as folder,
        Heartbeat(resources.sessions, [lease], beat, seconds=settings.heartbeat_seconds) as heartbeat,
    ):
        making = Making(resources, row, lease, folder, heartbeat, pieces)
        making.check()
        made = MAKERS[row.kind](making)
        making.check()
        stored = {name: StoredFile(resources.artefacts.seal(file), file.stat().st_size) for name, file in made.items()}
        heartbeat.persist(partial(_record, resources, making, made, stored))
    settle(resources)
    _wake_followers(resources, row)


def _record(resources: Resources, making: Making, made: Mapping[str, Path], stored: Mapping[str, StoredFile]) -> None:
    """Put the files where their digests are looked for and enter them, while no other process may remove them."""
    doubtful = [one.digest for one in stored.values()]
    try:
        with resources.sessions.begin() as session:
            files.lock(session)
            for name, file in made.items():
                if file.exists():  # not so when the database went away after an earlier try
                    resources.artefacts.place(file, stored[name].digest)
            doubtful = derivations.record_ready(session, making.lease, stored, total=making.total)
    finally:
        files.discard(resources.sessions, resources.artefacts, doubtful)
    log.info("derived_ready", bytes=sum(one.size_bytes for one in stored.values()))


def _wake_followers(resources: Resources, row: Derived) -> None:
    with resources.sessions.reading() as session:
        followers = awaiting.waiting_followers(session, row.id)
    for id in followers:
        resources.wakeups.derive(id)


def _write(resources: Resources, lease: Lease, change: Callable[[Session], list[str] | None]) -> list[str] | None:
    """Change the leased row, if the lease still holds."""
    try:
        with resources.sessions.begin() as session:
            return change(session)
    except LeaseLost:
        log.warning("derived_forfeited", derived=lease.id)
        return None
