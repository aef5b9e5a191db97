"""Tables of what executions said of each training image: asked for, found, forgotten with their experiment.

One is made by a worker, of the executions that have succeeded, once the experiment has ended; again when it is asked for after
`noisegate gc` has dropped it.
"""

import hashlib
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.errors import Conflict, NotFound, NotReady
from noisegate.spec.derived import Inspection, Needed, SampleTable
from noisegate.store import derived, experiments
from noisegate.store.derived import StoredFile
from noisegate.store.states import DerivedState, State
from noisegate.store.tables import Cell, Dataset, Derived, DerivedFile, Execution, Experiment, utc_now

TABLE_FILE = "samples.parquet"
INSPECTION_FILE = "inspection.parquet"

RETRY_SECONDS = 2
# One that failed is tried again when it is asked for later than this.
_FAILED_FOR = timedelta(seconds=60)
_HOW = 'Post it again with "record": "samples": each execution then keeps what it says of each training image.'


def records_of(session: Session, experiment_id: str, cell: int | None) -> list[str]:
    """Digests of what the executions recorded, in an order that does not depend on which ended first."""
    query = sa.select(Execution.dynamics_digest).join(Execution.cell).where(Execution.experiment_id == experiment_id)
    query = query.where(Execution.dynamics_digest.is_not(None))
    if cell is not None:
        query = query.where(Cell.position == cell)
    return [digest for digest in session.scalars(query.order_by(Cell.position, Execution.position)) if digest]


def needed(session: Session, experiment_id: str, cell: int | None) -> Needed:
    """The table of an experiment that has ended.

    Raises:
        NotFound: no such experiment, or it has recorded nothing.
        NotReady: it has not ended.
    """
    experiment = experiments.get(session, experiment_id)
    _check_records(experiment, cell)
    if not experiment.state.terminal:
        detail = f"experiment {experiment_id} is {experiment.state.value}: the table is made when it has ended"
        raise NotReady(detail, retry_after_seconds=RETRY_SECONDS)
    return _needed(session, experiment_id, cell)


def _check_records(experiment: Experiment, cell: int | None) -> None:
    if getattr(experiment.spec, "record", "none") != "samples":
        detail = f"experiment {experiment.id} has not recorded what its executions say of training images"
        raise NotFound(detail, field="experiment", remedy=_HOW)
    count = sum(not one.is_base for one in experiment.cells)
    if cell is not None and cell >= count:
        detail = f"experiment {experiment.id} has {count} cell{'s' if count != 1 else ''}, counted from 0"
        raise NotFound(detail, field="cell", remedy="GET /results/{id} lists them.")


def _needed(session: Session, experiment_id: str, cell: int | None) -> Needed:
    digests = records_of(session, experiment_id, cell)
    if not digests:
        detail = f"no execution of experiment {experiment_id} has succeeded there: nothing is known of any image"
        remedy = "GET /experiments/{id}/executions?state=failed says why."
        raise NotFound(detail, field="experiment", remedy=remedy)
    records = hashlib.sha256(",".join(digests).encode()).hexdigest()
    parameters = SampleTable(experiment=experiment_id, cell=cell, records=records)
    return Needed(parameters, follows_from=Needed(Inspection()))


def ask(session: Session, experiment_id: str, cell: int | None = None) -> Derived:
    """The row of the table, to be made if it is not there.

    Raises:
        NotFound, NotReady: as `needed`.
    """
    wanted = needed(session, experiment_id, cell)
    dataset = _dataset(session, experiment_id)
    row = derived.find(session, dataset, wanted)
    if row is not None and not may_be_retried(row):
        return row
    return derived.ensure(session, dataset, [wanted], asked=True)[wanted]


def may_be_retried(row: Derived) -> bool:
    """Whether it could not be made, some time ago: asked for again, it is tried again."""
    failed = row.state is DerivedState.FAILED
    return failed and (row.finished_at is None or row.finished_at < utc_now() - _FAILED_FOR)


def ask_once_ended(session: Session, experiment: Experiment) -> str | None:
    """Have the table made of an experiment that has just ended; its id, to be woken for. None if there is nothing to make."""
    # By what is there and not by the spec: most experiments record nothing, and theirs need not be parsed for that.
    if experiment.state is not State.SUCCEEDED or not records_of(session, experiment.id, None):
        return None
    return ask(session, experiment.id).id


def file_of(session: Session, row: Derived) -> StoredFile:
    """The table of a row that is ready.

    Raises:
        NotReady: it is being made.
        Conflict: it could not be made.
    """
    if row.state is DerivedState.FAILED:
        assert row.error is not None, "what has failed says why"
        raise Conflict(f"the table of samples could not be made: {row.error.detail}", remedy=row.error.remedy)
    if row.state is not DerivedState.READY:
        raise NotReady("the table of samples is being made", retry_after_seconds=RETRY_SECONDS)
    return derived.files_of(session, row.id)[TABLE_FILE]


def digests_of(session: Session, experiment_id: str) -> list[str]:
    """Of the files of an experiment's tables."""
    ids = _ids(session, experiment_id)
    return list(session.scalars(sa.select(DerivedFile.file_digest).where(DerivedFile.derived_id.in_(ids))))


def drop(session: Session, experiment_id: str) -> None:
    """Forget an experiment's tables; a worker that is making one finds its lease lost."""
    derived.drop(session, Derived.id.in_(_ids(session, experiment_id)))


def _ids(session: Session, experiment_id: str) -> list[str]:
    tables = sa.select(Derived).where(
        Derived.kind == SampleTable(experiment="", records="").kind,
        Derived.dataset_id == sa.select(Experiment.dataset_id).where(Experiment.id == experiment_id).scalar_subquery(),
    )
    return [
        row.id
        for row in session.scalars(tables)
        if isinstance(row.parameters, SampleTable) and row.parameters.experiment == experiment_id
    ]


def _dataset(session: Session, experiment_id: str) -> Dataset:
    dataset = experiments.get(session, experiment_id).dataset
    assert dataset is not None, "what records samples is trained on a dataset"
    return dataset
