"""Finds processes that died, leases that expired, wake-ups that never came, files that no row names.

One process of every worker; they do not disturb each other. It also keeps the worker's own row, and deadlines.
"""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from kombu.exceptions import OperationalError

from noisegate import __version__
from noisegate.api.problems import Failure
from noisegate.errors import StorageUnavailable
from noisegate.store import derivations, experiments, expiry, files, idempotency, ingestions, workers
from noisegate.store.signs import Signs, read
from noisegate.store.wakeups import DERIVE, INGEST, TRAIN
from worker.endings import Ended
from worker.lease import DATABASE_AWAY
from worker.metrics import note_reaped
from worker.resources import Resources
from worker.settling import settle

log = structlog.get_logger(__name__)

WORKER_LOST = Failure(
    code="worker-lost",
    title="The worker was lost",
    detail="Its lease ran out as often as this server allows: the process was killed, or ran out of memory.",
    remedy="Look at the worker's log and memory, ask for less, and post it again.",
)

# Wake-ups sent at once for rows that may have lost theirs; each finished execution frees a worker to look for more.
_BURST = 64
_HOUSEKEEPING_SECONDS = 60


class Reaper:
    """Looks every `reaper_seconds` until `stop` is called; says meanwhile that the worker runs.

    Args:
        ended: what the parent tells of processes of this worker.
        processes, device: how many train, and on what.
    """

    def __init__(self, resources: Resources, ended: Ended, *, processes: int, device: str) -> None:
        self._resources = resources
        self._ended = ended
        self._processes = processes
        self._device = device
        self._stopped = threading.Event()
        self._cleaned = self._beaten = -float("inf")
        self._clock = DatabaseClock()

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stopped.set()

    def run(self) -> None:
        """Until `stop` is called, from a signal or another thread."""
        while True:
            self._guarded(self._look)
            if self._stopped.wait(self._resources.settings.reaper_seconds):
                break
        self._guarded(self._leave)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (*DATABASE_AWAY, OperationalError, StorageUnavailable) as error:
            log.warning("reaper_postponed", error=str(error))
        except Exception:
            # Whatever it is: without a reaper lost work would stay lost, so the next look comes all the same.
            log.exception("reaper_failed")

    def _look(self) -> None:
        resources, settings = self._resources, self._resources.settings
        if time.monotonic() - self._beaten >= settings.heartbeat_seconds:
            self._beat()
        note_dead(resources, self._ended)
        if time.monotonic() - self._cleaned > min(_HOUSEKEEPING_SECONDS, settings.orphan_seconds):
            self._cleaned = time.monotonic()
            clean(resources)
        look(resources, self._clock)

    def _beat(self) -> None:
        with self._resources.sessions.begin() as session:
            workers.beat(
                session,
                self._resources.worker,
                host=socket.gethostname()[:100],
                device=self._device,
                processes=self._processes,
                version=__version__,
            )
        self._beaten = time.monotonic()

    def _leave(self) -> None:
        with self._resources.sessions.begin() as session:
            workers.leave(session, self._resources.worker)


class DatabaseClock:
    """Notices that the database's clock was put forward or back, against this process's monotonic one.

    Leases that were given before then say nothing: the living renew theirs within seconds, and the dead can wait that long.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._stepped = -float("inf")

    def steady(self, shown: float, seconds: float) -> bool:
        """Whether it has gone on evenly for this number of seconds; a step is what would outlast a fifth of them.

        Args:
            shown: what it shows now.
        """
        now = time.monotonic()
        offset = shown - now
        if self._offset is not None and abs(offset - self._offset) > seconds / 5:
            log.warning("database_clock_stepped", seconds=round(offset - self._offset, 1))
            self._stepped = now
        self._offset = offset
        return now - self._stepped >= seconds


def note_dead(resources: Resources, ended: Ended) -> None:
    """Expire the leases of this worker's dead processes at once: they will not be renewed."""
    known = ended.known()
    if not known:
        return

    def describe(process: int) -> Failure:
        detail = f"Process {process} {known[process]}, while it held this as its last attempt."
        return WORKER_LOST.model_copy(update={"detail": detail})

    dead = {f"{resources.worker}/{process}" for process in known}
    with resources.sessions.reading() as session:
        gone = dead.intersection(expiry.owners(session, resources.worker))
    if gone:
        with resources.sessions.begin() as session:
            lost = expiry.expire(session, gone, describe)
            lost += ingestions.expire(session, gone) + derivations.expire(session, gone)
        note_reaped("process_died", gone)
        log.warning("processes_died", held=lost)


def look(resources: Resources, clock: DatabaseClock | None = None) -> None:
    """One look at everything.

    Args:
        clock: without a step of it, a lease that has run out means that its holder is lost.

    Raises:
        sqlalchemy.exc.DBAPIError: the database is away.
        kombu.exceptions.OperationalError: the broker is away.
    """
    signs = _signs(resources)
    steady = clock is None or clock.steady(signs.now, resources.settings.lease_seconds)
    if (signs.expired and steady) or signs.late:
        _reap(resources, signs, trust_leases=steady)
        signs = _signs(resources)  # what was lost waits now
    if signs.unsettled:
        settle(resources)
    if signs.overdue:
        _wake_overdue(resources)


def _signs(resources: Resources) -> Signs:
    # Most looks find nothing, and a transaction that may write would keep others on SQLite waiting.
    settings = resources.settings
    with resources.sessions.reading() as session:
        return read(session, lease_seconds=settings.lease_seconds, wakeup_seconds=settings.wakeup_seconds)


def _reap(resources: Resources, signs: Signs, *, trust_leases: bool) -> None:
    settings, wakeups = resources.settings, resources.wakeups
    allowed: dict[str, Any] = {"lease_seconds": settings.lease_seconds, "max_losses": settings.max_losses}
    reaped, of_datasets, late = expiry.ReapedExecutions([], [], []), ingestions.ReapedDatasets([], []), list[str]()
    if signs.expired and trust_leases:
        with resources.sessions.begin() as session:
            reaped = expiry.reap(session, error=WORKER_LOST, **allowed)
        with resources.sessions.begin() as session:
            of_datasets = ingestions.reap(session, error=WORKER_LOST, **allowed)
        _reap_derived(resources, allowed)
    if signs.late:
        with resources.sessions.begin() as session:
            late = experiments.expire(session)
    if any(vars(reaped).values()) or any(vars(of_datasets).values()) or late:
        log.warning("leases_reaped", **vars(reaped), ingestions=vars(of_datasets), late=late)
    _count(reaped, of_datasets, late)
    for id in reaped.requeued:
        wakeups.train(id)
    for id in of_datasets.waiting:
        wakeups.ingest(id)
    files.discard(resources.sessions, resources.artefacts, of_datasets.uploads_of_failed)


def _reap_derived(resources: Resources, allowed: dict[str, Any]) -> None:
    with resources.sessions.begin() as session:
        reaped = derivations.reap(session, error=WORKER_LOST, **allowed)
    if reaped.waiting or reaped.failed:
        log.warning("derived_reaped", requeued=reaped.waiting, failed=reaped.failed)
    note_reaped("derived_requeued", reaped.waiting)
    note_reaped("derived_failed", reaped.failed)
    for id in reaped.waiting:
        resources.wakeups.derive(id)
    files.discard(resources.sessions, resources.artefacts, reaped.pieces_of_failed)


def _count(reaped: expiry.ReapedExecutions, of_datasets: ingestions.ReapedDatasets, late: list[str]) -> None:
    for kind, ids in vars(reaped).items():
        note_reaped(kind, ids)
    note_reaped("ingestion_requeued", of_datasets.waiting)
    note_reaped("ingestion_failed", of_datasets.uploads_of_failed)
    note_reaped("late", late)


def clean(resources: Resources) -> None:
    """Remove what killed processes left behind, and what has been kept long enough."""
    settings = resources.settings
    with resources.sessions.begin() as session:
        workers.forget(session)
        idempotency.forget(session)
    folders = resources.artefacts.sweep_scratch(settings.scratch_seconds)
    orphans = files.sweep(resources.sessions, resources.artefacts, settings.orphan_seconds)
    if folders or orphans:
        log.warning("leftovers_swept", folders=folders, files=orphans)


def _wake_overdue(resources: Resources) -> None:
    # A message still in the queue will wake someone yet: only an empty queue can have lost one.
    settings, wakeups = resources.settings, resources.wakeups
    if wakeups.waiting(TRAIN) == 0:
        with resources.sessions.begin() as session:
            waiting = expiry.overdue(session, wakeup_seconds=settings.wakeup_seconds, limit=_BURST)
        note_reaped("woken", waiting)
        for id in waiting:
            wakeups.train(id)
    if wakeups.waiting(INGEST) == 0:
        with resources.sessions.begin() as session:
            unread = ingestions.overdue(session, wakeup_seconds=settings.wakeup_seconds)
        note_reaped("woken", unread)
        for id in unread:
            wakeups.ingest(id)
    if wakeups.waiting(DERIVE) == 0:
        with resources.sessions.begin() as session:
            unmade = derivations.overdue(session, wakeup_seconds=settings.wakeup_seconds)
        note_reaped("woken", unmade)
        for id in unmade:
            wakeups.derive(id)
