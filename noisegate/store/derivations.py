"""Derived artefacts in the making: claimed by a worker, kept piece by piece, and ready, failed, given back or lost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.problems import Failure
from noisegate.spec.derived import DERIVED
from noisegate.spec.formats import FORMAT
from noisegate.store import leases
from noisegate.store.clock import seconds_now
from noisegate.store.derived import StoredFile, drop_files, get
from noisegate.store.leases import WANTED, Lease, Renewed
from noisegate.store.states import DerivedState
from noisegate.store.tables import Derived, DerivedFile, utc_now

_COLUMNS = Derived.__table__.c
_CLAIM = leases.claiming(
    Derived,
    sa.and_(
        _COLUMNS.id == sa.bindparam("derived"),
        _COLUMNS.kind.in_(sa.bindparam("kinds", expanding=True)),
        _COLUMNS.format <= FORMAT,
    ),
    state=DerivedState.RUNNING,
    error=sa.null(),
)


def claim(
    session: Session, derived_id: str | None, *, owner: str, lease_seconds: float
) -> tuple[Derived, Lease] | None:
    """Claim an artefact to make: this one, or with None the one that has waited longest.

    Those of a kind that this version does not know, or of a newer format, are left to newer workers.
    """
    kinds = list(DERIVED)
    if derived_id is None:
        query = sa.select(Derived.id).where(leases.waiting(Derived), Derived.kind.in_(kinds), Derived.format <= FORMAT)
        query = query.order_by(Derived.id).limit(1)
        derived_id = session.scalar(query.with_for_update(skip_locked=True, of=Derived))
    if derived_id is None:
        return None
    granted = leases.claim(session, _CLAIM, owner=owner, lease_seconds=lease_seconds, derived=derived_id, kinds=kinds)
    return (get(session, granted[0].id), granted[0]) if granted else None


def renew(session: Session, lease: Lease, lease_seconds: float, *, done: int, total: int | None) -> Renewed:
    """Extend the lease and note the progress. The work may go on as long as an execution waits for it."""
    progress = {lease.id: {"done": done, "total": total}}
    lost = leases.renew_each(session, Derived, [lease], lease_seconds, progress)
    is_wanted = session.scalar(sa.select(Derived.id).where(Derived.id == lease.id, WANTED)) is not None
    return Renewed(lost, may_go_on=bool(lost) or is_wanted)


def keep_piece(session: Session, lease: Lease, name: str, stored: StoredFile) -> None:
    """Record a finished piece, so that another worker can resume from it if this one is lost.

    Raises:
        LeaseLost: another worker has taken over, or the artefact was deleted.
    """
    leases.write(session, Derived, lease, used_at=utc_now())
    session.merge(_file(lease.id, name, stored))
    session.flush()


def record_ready(session: Session, lease: Lease, made: Mapping[str, StoredFile], *, total: int | None) -> list[str]:
    """The artefact is there; returns the digests of its pieces, candidates for `files.discard`. `settle` is due now.

    Raises:
        LeaseLost: another worker has taken over, or the artefact was deleted.
    """
    size = sum(stored.size_bytes for stored in made.values())
    _end(session, lease, state=DerivedState.READY, done=total or 0, total=total, size_bytes=size)
    pieces = drop_files(session, [lease.id])
    session.add_all(_file(lease.id, name, stored) for name, stored in made.items())
    session.flush()
    return pieces


def record_failed(session: Session, lease: Lease, error: Failure) -> list[str]:
    """It cannot be made; returns the digests of its pieces, candidates for `files.discard`. `settle` is due now.

    Raises:
        LeaseLost: another worker has taken over, or the artefact was deleted.
    """
    _end(session, lease, state=DerivedState.FAILED, error=error)
    return drop_files(session, [lease.id])


def release(session: Session, lease: Lease) -> None:
    """Give it back, to be gone on with by anyone; not counted as a loss."""
    changes = {"state": DerivedState.WAITING, "owner": None, "lease_until": None, "woken_at": seconds_now()}
    leases.write(session, Derived, lease, **changes)


@dataclass(frozen=True)
class ReapedDerived:
    """What was done about expired leases: ids that wait again or failed, and digests of what the failed had finished."""

    waiting: list[str]
    failed: list[str]
    pieces_of_failed: list[str]


def expire(session: Session, owners: Collection[str]) -> list[str]:
    """Let the leases of these processes run out now; returns what they were making."""
    return leases.expire(session, Derived, owners)


def reap(session: Session, *, lease_seconds: float, max_losses: int, error: Failure) -> ReapedDerived:
    """Take expired leases away: artefacts lost too often fail with `error`, the others wait again. `settle` is due now."""
    lost = session.scalars(
        sa.select(Derived)
        .where(Derived.state == DerivedState.RUNNING, leases.expired(Derived, lease_seconds))
        .order_by(Derived.id)
        .with_for_update(skip_locked=True)
    ).all()
    for row in lost:
        row.losses += 1
        failure = error.model_copy(update={"worker": row.owner})
        row.owner = row.lease_until = None
        if row.losses >= max_losses:
            row.state, row.error, row.finished_at = DerivedState.FAILED, failure, utc_now()
        else:
            row.state = DerivedState.WAITING
            session.execute(sa.update(Derived).where(Derived.id == row.id).values(woken_at=seconds_now()))
    session.flush()
    failed = [row.id for row in lost if row.state is DerivedState.FAILED]
    waiting = [row.id for row in lost if row.state is DerivedState.WAITING]
    return ReapedDerived(waiting, failed, drop_files(session, failed))


def overdue(session: Session, *, wakeup_seconds: float) -> Sequence[str]:
    """Artefacts that wait although they were woken long ago; they count as woken now."""
    late = sa.select(Derived.id).where(leases.overdue(Derived, wakeup_seconds))
    statement = sa.update(Derived).where(Derived.id.in_(late)).values(woken_at=seconds_now())
    return session.scalars(statement.returning(Derived.id)).all()


def _end(session: Session, lease: Lease, **changes: object) -> None:
    leases.write(session, Derived, lease, lease_until=None, finished_at=utc_now(), **changes)


def _file(derived_id: str, name: str, stored: StoredFile) -> DerivedFile:
    return DerivedFile(derived_id=derived_id, name=name, file_digest=stored.digest, size_bytes=stored.size_bytes)
