"""Rows of derived artefacts: asked for by experiments, claimed and made by workers, read by executions.

    waiting → running → ready
                      → failed → waiting, when it is asked for again

An experiment that needs one creates the row, or finds it; its executions wait (`Execution.waits_for`) until `settle` lets them
go, or ends them with the artefact's error. A transaction that takes the lock of files takes it before any derived row's.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased, joinedload

from noisegate.api.problems import Failure
from noisegate.spec.derived import DERIVED, Needed
from noisegate.store import experiments, leases
from noisegate.store.clock import seconds_now
from noisegate.store.ids import new_id
from noisegate.store.leases import WANTED, Lease, Renewed
from noisegate.store.states import TERMINAL, DerivedState
from noisegate.store.tables import Cell, CellDataset, Dataset, Derived, DerivedFile, Execution, Experiment, utc_now

_ENDED = (DerivedState.READY, DerivedState.FAILED)
_WITH_SOURCES = (joinedload(Derived.dataset), joinedload(Derived.parent))


@dataclass(frozen=True)
class StoredFile:
    """A file that was put among the artefacts."""

    digest: str
    size_bytes: int


def ensure(session: Session, dataset: Dataset, wanted: Iterable[Needed]) -> dict[Needed, Derived]:
    """The rows of artefacts that cells need, and those of what they are made of: found, or created to be made.

    The rows are locked until the transaction ends, so that they stay as they are found. A failed one waits again.
    """
    assert dataset.content_hash, "the dataset is ready"
    content_hash = dataset.content_hash
    chains = [needed.chain for needed in wanted]
    # Always in one order, so that two transactions that want the same rows cannot deadlock; sources before what follows from them.
    unique = {(len(needed.chain), needed.key(content_hash)): needed for chain in chains for needed in chain}
    rows: dict[Needed, Derived] = {}
    for (_, key), needed in sorted(unique.items(), key=lambda entry: entry[0]):
        parent = rows[needed.follows_from] if needed.follows_from else None
        rows[needed] = _ensured(session, dataset, needed, key, parent)
    return rows


def _ensured(session: Session, dataset: Dataset, needed: Needed, key: str, parent: Derived | None) -> Derived:
    _insert_if_new(session, dataset, needed, key, parent)
    query = sa.select(Derived).where(Derived.dataset_id == dataset.id, Derived.key == key).with_for_update()
    row = session.scalars(query.execution_options(populate_existing=True)).one()
    row.used_at = utc_now()
    if row.state is DerivedState.FAILED:
        row.state, row.error, row.finished_at, row.losses, row.done = DerivedState.WAITING, None, None, 0, 0
    session.flush()
    return row


def _insert_if_new(session: Session, dataset: Dataset, needed: Needed, key: str, parent: Derived | None) -> None:
    # Two experiments may ask at once: the second waits for the first, and then finds its row.
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {
        "kind": needed.parameters.kind,
        "parameters": needed.parameters,
        "parent_id": parent.id if parent else None,
    }
    statement = insert(Derived).values(id=new_id("der"), dataset_id=dataset.id, key=key, **values)
    session.execute(statement.on_conflict_do_nothing(index_elements=["dataset_id", "key"]))


def get(session: Session, derived_id: str) -> Derived:
    """The row, with its dataset and what it is made of; there must be one."""
    query = sa.select(Derived).where(Derived.id == derived_id).options(*_WITH_SOURCES)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def lineage(session: Session, derived_id: str) -> list[Derived]:
    """The row and what it follows from, itself first: features, and the view that they are of."""
    found = [get(session, derived_id)]
    while (parent := found[-1].parent_id) is not None:
        found.append(get(session, parent))
    return found


def files_of(session: Session, derived_id: str) -> dict[str, StoredFile]:
    """Its files by name; of one that is being made, the pieces that are finished."""
    rows = session.scalars(
        sa.select(DerivedFile).where(DerivedFile.derived_id == derived_id).order_by(DerivedFile.name)
    )
    return {row.name: StoredFile(row.file_digest, row.size_bytes) for row in rows}


def of_datasets(session: Session, dataset_ids: Sequence[str]) -> dict[str, list[Derived]]:
    """Those of each dataset, oldest first."""
    rows = session.scalars(sa.select(Derived).where(Derived.dataset_id.in_(dataset_ids)).order_by(Derived.id)).all()
    return {id: [row for row in rows if row.dataset_id == id] for id in dataset_ids}


def note_use(session: Session, derived_ids: Iterable[str]) -> None:
    """They have just been read: what is in use is not dropped."""
    session.execute(sa.update(Derived).where(Derived.id.in_(sorted(derived_ids))).values(used_at=utc_now()))


_COLUMNS = Derived.__table__.c
_CLAIM = leases.claiming(
    Derived,
    sa.and_(_COLUMNS.id == sa.bindparam("derived"), _COLUMNS.kind.in_(sa.bindparam("kinds", expanding=True))),
    state=DerivedState.RUNNING,
    error=sa.null(),
)


def claim(
    session: Session, derived_id: str | None, *, owner: str, lease_seconds: float
) -> tuple[Derived, Lease] | None:
    """Claim an artefact to make: this one, or with None the one that has waited longest.

    Those of a kind that this version does not know are left to newer workers.
    """
    kinds = list(DERIVED)
    if derived_id is None:
        query = sa.select(Derived.id).where(leases.waiting(Derived), Derived.kind.in_(kinds))
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
    pieces = _drop_files(session, [lease.id])
    session.add_all(_file(lease.id, name, stored) for name, stored in made.items())
    session.flush()
    return pieces


def record_failed(session: Session, lease: Lease, error: Failure) -> list[str]:
    """It cannot be made; returns the digests of its pieces, candidates for `files.discard`. `settle` is due now.

    Raises:
        LeaseLost: another worker has taken over, or the artefact was deleted.
    """
    _end(session, lease, state=DerivedState.FAILED, error=error)
    return _drop_files(session, [lease.id])


def release(session: Session, lease: Lease) -> None:
    """Give it back, to be gone on with by anyone; not counted as a loss."""
    changes = {"state": DerivedState.WAITING, "owner": None, "lease_until": None, "woken_at": seconds_now()}
    leases.write(session, Derived, lease, **changes)


def any_unsettled(session: Session) -> bool:
    """Whether there is anything to `settle`: its worker may have been killed before it could."""
    found = session.scalar(_unsettled().limit(1)) or session.scalar(_source_failed(Derived.id).limit(1))
    return found is not None


def settle(session: Session) -> list[str]:
    """Let the executions go whose artefacts are ready, and end those of which one has failed; returns the experiments' ids.

    Those that need another that is not there yet wait for that one next. What is made of a failed artefact fails likewise.
    """
    _fail_followers(session)
    settled: set[str] = set()
    for derived_id in session.scalars(_unsettled()).all():
        row = session.get_one(Derived, derived_id, populate_existing=True)
        waiting = sa.select(Execution.experiment_id).where(Execution.waits_for == row.id).distinct()
        for experiment_id in session.scalars(waiting.order_by(Execution.experiment_id)).all():
            _settle(session, row, experiment_id)
            settled.add(experiment_id)
    return sorted(settled)


def _settle(session: Session, row: Derived, experiment_id: str) -> None:
    # Under the experiment's lock, as everything that changes several of its executions.
    experiment = experiments.lock(session, experiment_id)
    waits = Execution.waits_for == row.id
    if row.state is DerivedState.FAILED:
        assert row.error is not None, "what has failed says why"
        experiments.fail_waiting(session, experiment, waits, row.error)
    still = _next_missing()
    statement = sa.update(Execution).where(Execution.experiment_id == experiment_id, waits)
    changes: dict[str, Any] = {"waits_for": still, "held": still.is_not(None), "woken_at": seconds_now()}
    session.execute(statement.values(**changes), execution_options={"synchronize_session": False})


def _next_missing() -> sa.ScalarSelect[str]:
    """An artefact that an execution's cell needs of another dataset, and that is not ready."""
    needed = sa.select(Derived.id).join(CellDataset, CellDataset.needs == Derived.id)
    missing = needed.where(CellDataset.cell_id == Execution.cell_id, Derived.state != DerivedState.READY)
    return missing.order_by(Derived.id).limit(1).correlate(Execution).scalar_subquery()


def _unsettled() -> sa.Select[str]:
    waits = sa.exists().where(Execution.waits_for == Derived.id)
    return sa.select(Derived.id).where(Derived.state.in_(_ENDED), waits).order_by(Derived.id)


def _source_failed(what: Any) -> sa.Select[Any]:
    """Artefacts that wait for one that has failed."""
    parent = aliased(Derived)
    query = sa.select(what).join(parent, parent.id == Derived.parent_id)
    return query.where(Derived.state == DerivedState.WAITING, parent.state == DerivedState.FAILED)


def _fail_followers(session: Session) -> None:
    for row in session.scalars(_source_failed(Derived).options(joinedload(Derived.parent)).order_by(Derived.id)).all():
        assert row.parent is not None
        row.state, row.error, row.finished_at = DerivedState.FAILED, row.parent.error, utc_now()
    session.flush()


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
    return ReapedDerived(waiting, failed, _drop_files(session, failed))


def overdue(session: Session, *, wakeup_seconds: float) -> Sequence[str]:
    """Artefacts that wait although they were woken long ago; they count as woken now."""
    late = sa.select(Derived.id).where(leases.overdue(Derived, wakeup_seconds))
    statement = sa.update(Derived).where(Derived.id.in_(late)).values(woken_at=seconds_now())
    return session.scalars(statement.returning(Derived.id)).all()


@dataclass(frozen=True)
class Dropped:
    """Rows that were removed; `digests` of their files are candidates for `files.discard`."""

    ids: list[str]
    digests: list[str]


def drop(session: Session, which: sa.ColumnElement[bool]) -> Dropped:
    """Remove rows that no open experiment needs, and of which nothing is made that stays.

    A worker that is making one of them finds its lease lost. What an ended experiment needed is forgotten.
    """
    locked = session.scalars(sa.select(Derived.id).where(which).order_by(Derived.id).with_for_update()).all()
    needed = set(session.scalars(sa.select(Derived.id).where(Derived.id.in_(locked), is_used())))
    going = set(locked) - needed
    staying = sa.select(Derived.parent_id).where(Derived.parent_id.in_(going), Derived.id.not_in(going))
    ids = sorted(going - set(session.scalars(staying)))
    digests = _drop_files(session, ids)
    silently = {"synchronize_session": False}
    for statement in (
        sa.update(Execution).where(Execution.waits_for.in_(ids)).values(waits_for=None, held=False),
        sa.update(Cell).where(Cell.needs.in_(ids)).values(needs=None),
        sa.update(CellDataset).where(CellDataset.needs.in_(ids)).values(needs=None),
        sa.update(Derived).where(Derived.parent_id.in_(ids)).values(parent_id=None),
    ):
        session.execute(statement, execution_options=silently)
    session.execute(sa.delete(Derived).where(Derived.id.in_(ids)), execution_options=silently)
    return Dropped(ids, digests)


def is_used() -> sa.ColumnElement[bool]:
    """True for artefacts that an experiment which has not ended needs, or of which one is made that it needs."""
    child = aliased(Derived)
    is_open = Experiment.state.not_in(TERMINAL)
    own = sa.select(Cell.needs).join(Experiment, Cell.experiment_id == Experiment.id)
    of_others = sa.select(CellDataset.needs).join(Cell, CellDataset.cell_id == Cell.id).join(Cell.experiment)
    needed = sa.union(
        own.where(is_open, Cell.needs.is_not(None)), of_others.where(is_open, CellDataset.needs.is_not(None))
    )
    parents = sa.select(child.parent_id).where(child.id.in_(needed), child.parent_id.is_not(None))
    return sa.or_(Derived.id.in_(needed), Derived.id.in_(parents))


def _end(session: Session, lease: Lease, **changes: object) -> None:
    leases.write(session, Derived, lease, lease_until=None, finished_at=utc_now(), **changes)


def _drop_files(session: Session, derived_ids: Sequence[str]) -> list[str]:
    of_these = DerivedFile.derived_id.in_(derived_ids)
    digests = list(session.scalars(sa.select(DerivedFile.file_digest).where(of_these)))
    session.execute(sa.delete(DerivedFile).where(of_these))
    return digests


def _file(derived_id: str, name: str, stored: StoredFile) -> DerivedFile:
    return DerivedFile(derived_id=derived_id, name=name, file_digest=stored.digest, size_bytes=stored.size_bytes)
