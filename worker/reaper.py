"""Finds what was lost: leases that ran out, wake-ups that never came. One in every worker; they do not disturb each other."""

import threading

import structlog
from kombu.exceptions import OperationalError

from noisegate.store import datasets, executions
from noisegate.store.wakeups import INGEST, TRAIN
from worker.ingestion import discard_upload
from worker.lease import DATABASE_AWAY
from worker.resources import Resources

log = structlog.get_logger(__name__)

WORKER_LOST = {
    "code": "worker-lost",
    "title": "The worker was lost",
    "detail": "Its lease ran out as often as this server allows: the process was killed, or ran out of memory.",
    "remedy": "Look at the worker's log and memory, ask for less, and post it again.",
    "errors": [],
}

# Wake-ups sent at once for rows that may have lost theirs; each finished execution frees a worker to look for more.
_BURST = 64


class Reaper(threading.Thread):
    """Looks every `reaper_seconds` until `stop` is called."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(name="reaper", daemon=True)
        self._resources = resources
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.wait(self._resources.settings.reaper_seconds):
            try:
                look(self._resources)
            except (*DATABASE_AWAY, OperationalError) as error:
                log.warning("reaper_postponed", error=str(error))
            except Exception:
                # Whatever it is: without a reaper lost work would stay lost, so the next look comes all the same.
                log.exception("reaper_failed")


def look(resources: Resources) -> None:
    """One look at everything.

    Raises:
        sqlalchemy.exc.DBAPIError: the database is away.
        kombu.exceptions.OperationalError: the broker is away.
    """
    settings, wakeups = resources.settings, resources.wakeups
    with resources.sessions.begin() as session:
        reaped = executions.reap(session, max_losses=settings.max_losses, error=WORKER_LOST)
        ingestions = datasets.reap(session, max_losses=settings.max_losses, error=WORKER_LOST)
    if any(vars(reaped).values()) or any(vars(ingestions).values()):
        log.warning("leases_reaped", **vars(reaped), ingestions=vars(ingestions))
    for id in reaped.requeued:
        wakeups.train(id)
    for id in ingestions.waiting:
        wakeups.ingest(id)
    for digest in ingestions.uploads_of_failed:
        discard_upload(resources, digest)
    _wake_overdue(resources)
    if left := resources.artefacts.sweep_scratch(settings.scratch_seconds):
        log.warning("scratch_swept", folders=left)


def _wake_overdue(resources: Resources) -> None:
    # A message still in the queue will wake someone yet: only an empty queue can have lost one.
    settings, wakeups = resources.settings, resources.wakeups
    if wakeups.waiting(TRAIN) == 0:
        with resources.sessions.begin() as session:
            waiting = executions.overdue(session, wakeup_seconds=settings.wakeup_seconds, limit=_BURST)
        for id in waiting:
            wakeups.train(id)
    if wakeups.waiting(INGEST) == 0:
        with resources.sessions.begin() as session:
            unread = datasets.overdue(session, wakeup_seconds=settings.wakeup_seconds)
        for id in unread:
            wakeups.ingest(id)
