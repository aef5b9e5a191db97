"""Where a training stands, written down now and then, so that another worker need not begin anew."""

import time
from collections.abc import Callable, Sequence

import structlog

from noisegate.errors import StorageFull, StorageUnavailable
from noisegate.learning.training import Progress
from noisegate.store import executions, files
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.tables import Execution
from worker.lease import DATABASE_AWAY
from worker.resources import Resources

log = structlog.get_logger(__name__)


class Checkpoints:
    """Those of the executions that a process has claimed.

    A checkpoint saves time and nothing else: one that cannot be written or read is logged, and training goes on without.
    """

    def __init__(self, resources: Resources, claimed: Sequence[Execution], leases: Sequence[Lease]) -> None:
        self._resources = resources
        self._digests = {execution.seed: execution.checkpoint_digest for execution in claimed}
        self._leases = {execution.seed: lease for execution, lease in zip(claimed, leases, strict=True)}
        # Each has a clock of its own: those that train together come here one after another, and all are due at once.
        self._written = dict.fromkeys(self._leases, time.monotonic())

    def read(self) -> dict[int, bytes]:
        """The last checkpoint of each execution that has one, by seed."""
        found: dict[int, bytes] = {}
        for seed, digest in self._digests.items():
            if digest is not None:
                try:
                    found[seed] = self._resources.artefacts.read(digest)
                except (OSError, StorageFull, StorageUnavailable) as error:
                    log.warning("checkpoint_not_read", execution=self._leases[seed].id, error=str(error))
        return found

    def offer(self, progress: Progress, snapshot: Callable[[], bytes]) -> None:
        """Called after every epoch; writes the checkpoint when one is due."""
        if time.monotonic() - self._written[progress.seed] < self._resources.settings.checkpoint_seconds:
            return
        try:
            self._write(self._leases[progress.seed], progress.epoch, snapshot())
        except LeaseLost:
            log.warning("checkpoint_refused", execution=self._leases[progress.seed].id)
        except (StorageFull, StorageUnavailable, OSError, *DATABASE_AWAY) as error:
            log.warning("checkpoint_not_written", execution=self._leases[progress.seed].id, error=str(error))
        self._written[progress.seed] = time.monotonic()

    def _write(self, lease: Lease, epochs: int, state: bytes) -> None:
        resources = self._resources
        doubtful: list[str] = []
        try:
            with resources.sessions.begin() as session:
                files.lock(session)
                doubtful.append(resources.artefacts.put_bytes(state))
                replaced = executions.note_checkpoint(session, lease, doubtful[0], epochs)
                doubtful += [replaced] if replaced else []
        finally:
            files.discard(resources.sessions, resources.artefacts, doubtful)
        log.info("checkpoint_written", execution=lease.id, epochs=epochs, bytes=len(state))
