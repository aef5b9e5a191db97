"""Holding claims while work goes on: a thread renews them, and tells the work when to stop."""

import contextvars
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from noisegate.errors import StorageUnavailable
from noisegate.store.leases import Lease, Renewed
from noisegate.store.sessions import Sessions
from worker.metrics import LEASES_LOST

log = structlog.get_logger(__name__)

# The database is away, restarting, or read-only after a failover: worth trying again.
DATABASE_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)

# Beats that have something to tell come no more often than this, however short epochs are.
_SOONEST_SECONDS = 0.8

# Set in a process when it is asked to end; see worker.children.
draining = threading.Event()


class Stop(Exception):
    """Raised inside the work, between two steps of it."""


class Draining(Stop):
    """The worker is shutting down; the claims are to be given back."""


class Cancelled(Stop):
    """The experiment was cancelled."""


class Forfeited(Stop):
    """All leases expired; results will be rejected."""


# Renews all of these leases, noting progress.
Renew = Callable[[Session, Sequence[Lease]], Renewed]


class Heartbeat:
    """Renews `leases` every `seconds`, or sooner with news, while the `with` block runs, which calls `check()` between its steps.

    All in one transaction, however many: a process that trains fifty at once costs the database no more commits than one.
    A database that is away is not news of a lost lease: renewal is tried again with the next beat, and if the lease runs
    out meanwhile, the fence refuses what comes of the work.
    """

    def __init__(self, sessions: Sessions, leases: Sequence[Lease], renew: Renew, *, seconds: float) -> None:
        self._sessions = sessions
        self._renew = renew
        self._seconds = seconds
        self._held = set(leases)  # of which both threads take away, each in one step
        self._cancelled = False
        self._ended = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._beat,), name="heartbeat", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._news.set()
        self._thread.join()

    def check(self) -> None:
        """Go on, or stop.

        Raises:
            Draining, Cancelled, Forfeited: in this order of precedence.
        """
        if draining.is_set():
            raise Draining
        if self._cancelled:
            raise Cancelled
        if not self._held:
            raise Forfeited

    @property
    def held(self) -> list[Lease]:
        """What is still held, as far as is known; in the order of the ids."""
        return sorted(self._held, key=lambda lease: lease.id)

    def hold(self, leases: Iterable[Lease]) -> None:
        """Renew these, too."""
        self._held.update(leases)

    def tell_soon(self) -> None:
        """There is progress that somebody may be watching: the next beat need not wait for its time."""
        self._news.set()

    def let_go(self, lease: Lease) -> None:
        """Renew this one no more: what it was held for has been recorded, or is to be lost."""
        self._held.discard(lease)

    def persist(self, write: Callable[[], None]) -> None:
        """Do a write, and if the database or the store of files is away again with every beat, as long as the claims may hold.

        Raises:
            Draining, Cancelled, Forfeited: before it came back.
        """
        while True:
            try:
                return write()
            except (*DATABASE_AWAY, StorageUnavailable) as error:
                log.warning("write_postponed", error=str(getattr(error, "orig", error)))
            draining.wait(self._seconds)
            self.check()

    def _beat(self) -> None:
        soonest = min(_SOONEST_SECONDS, self._seconds)
        while not self._ended.wait(soonest):
            self._news.wait(self._seconds - soonest)
            self._news.clear()
            if self._ended.is_set():
                return
            held = self.held
            try:
                with self._sessions.begin() as session:
                    renewed = self._renew(session, held)
            except DATABASE_AWAY as error:
                log.warning("renewal_postponed", ids=[lease.id for lease in held], error=str(error.orig))
            except Exception:
                # A thread that ended here would lose the leases in silence; the next beat may do better.
                log.exception("renewal_failed", ids=[lease.id for lease in held])
            else:
                self._hear(renewed)

    def _hear(self, renewed: Renewed) -> None:
        self._cancelled |= not renewed.may_go_on
        for lease in renewed.lost:
            if lease in self._held:  # not so when its result has just been recorded
                LEASES_LOST.inc()
                log.warning("lease_lost", id=lease.id, attempt=lease.attempt)
            self.let_go(lease)
