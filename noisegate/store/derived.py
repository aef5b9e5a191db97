"""Rows of derived artefacts: asked for by experiments, claimed and made by workers, read by executions.

    waiting → running → ready
                      → failed → waiting, when it is asked for again

An experiment that needs one creates the row, or finds it; its executions wait (`Execution.waits_for`) until `settle` lets them
go, or ends them with the artefact's error. A transaction that takes the lock of files takes it before any derived row's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased, joinedload

from noisegate.spec.derived import Needed
from noisegate.store import experiments
from noisegate.store.clock import seconds_now
from noisegate.store.ids import new_id
from noisegate.store.states import TERMINAL, DerivedState
from noisegate.store.tables import Cell, CellDataset, Dataset, Derived, DerivedFile, Execution, Experiment, utc_now

_ENDED = (DerivedState.READY, DerivedState.FAILED)
_WITH_SOURCES = (joinedload(Derived.dataset), joinedload(Derived.parent))


@dataclass(frozen=True)
class StoredFile:
    """A file that was put among the artefacts."""

    digest: str
    size_bytes: int


def ensure(
    session: Session, dataset: Dataset, wanted: Iterable[Needed], *, asked: bool = False
) -> dict[Needed, Derived]:
    """The rows of artefacts that cells need, and those of what they are made of: found, or created to be made.

    The rows are locked until the transaction ends, so that they stay as they are found. A failed one waits again.

    Args:
        asked: whether a person asks for them, so that they are made although no execution waits.
    """
    assert dataset.content_hash, "the dataset is ready"
    content_hash = dataset.content_hash
    chains = [needed.chain for needed in wanted]
    # Always in one order, so that two transactions that want the same rows cannot deadlock; sources before what follows from them.
    unique = {(len(needed.chain), needed.key(content_hash)): needed for chain in chains for needed in chain}
    rows: dict[Needed, Derived] = {}
    for (_, key), needed in sorted(unique.items(), key=lambda entry: entry[0]):
        parent = rows[needed.follows_from] if needed.follows_from else None
        rows[needed] = row = _ensured(session, dataset, needed, key, parent)
        row.asked = row.asked or asked
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
        "format": needed.parameters.format,
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


def find(session: Session, dataset: Dataset, needed: Needed) -> Derived | None:
    """The row of an artefact, if there is one."""
    assert dataset.content_hash, "the dataset is ready"
    key = needed.key(dataset.content_hash)
    return session.scalar(sa.select(Derived).where(Derived.dataset_id == dataset.id, Derived.key == key))


def note_use(session: Session, derived_ids: Iterable[str]) -> None:
    """They have just been read: what is in use is not dropped."""
    session.execute(sa.update(Derived).where(Derived.id.in_(sorted(derived_ids))).values(used_at=utc_now()))


def any_unsettled() -> sa.ColumnElement[bool]:
    """True if there is anything to `settle`: its worker may have been killed before it could."""
    return sa.or_(_unsettled().exists(), _source_failed(Derived.id).exists())


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
    still = sa.null() if row.state is DerivedState.FAILED else _next_missing()
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
    digests = drop_files(session, ids)
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


def drop_files(session: Session, derived_ids: Sequence[str]) -> list[str]:
    """Forget their files, or finished pieces; returns the digests, candidates for `files.discard`."""
    of_these = DerivedFile.derived_id.in_(derived_ids)
    digests = list(session.scalars(sa.select(DerivedFile.file_digest).where(of_these)))
    session.execute(sa.delete(DerivedFile).where(of_these))
    return digests
