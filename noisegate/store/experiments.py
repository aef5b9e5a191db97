"""Experiments: planned, created with all their cells and executions at once, cancelled, and settled when executions end."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload, selectinload

from noisegate.errors import Conflict, FieldError, InvalidSpec, NotFound, NotReady
from noisegate.seeds import derive_seed
from noisegate.spec import Caps, CellPoint, ExperimentSpec, check_caps, check_training_bytes
from noisegate.store import datasets, models
from noisegate.store.pages import Page, page_of
from noisegate.store.states import EXPERIMENT_MOVES, DatasetState, State, settled_state
from noisegate.store.tables import Cell, Dataset, Execution, Experiment, utc_now


@dataclass(frozen=True)
class Plan:
    """What an experiment would come to."""

    spec: ExperimentSpec
    dataset: Dataset
    cells: list[CellPoint]

    @property
    def executions(self) -> int:
        return len(self.cells) * self.spec.executions

    def training_images(self, point: CellPoint) -> int:
        """Training images that one execution of this cell processes, noise included, over all its epochs; rounded."""
        spec = point.spec
        kept = round(_train_count(self.dataset) * (1 - spec.holdout))
        noise = 0 if spec.training.equal_updates else spec.count_noise_images(mean_class_size(self.dataset))
        return spec.training.epochs * (kept + noise)

    @property
    def total_training_images(self) -> int:
        return self.spec.executions * sum(self.training_images(point) for point in self.cells)


def plan(session: Session, spec: ExperimentSpec, caps: Caps) -> Plan:
    """Resolve a spec against the datasets that are there and the caps.

    Raises:
        InvalidSpec: a field is wrong, over a cap, or names a dataset that does not exist.
        NotReady: the dataset is still being ingested.
    """
    check_caps(spec, caps)
    points = spec.cells()
    dataset = _usable_dataset(session, spec.dataset)
    for point in points:
        check_caps(point.spec, caps)
        _check_against(dataset, point.spec, caps)
    return Plan(spec, dataset, points)


def create(session: Session, planned: Plan) -> Experiment:
    """The experiment's row and, queued, those of all its cells and executions."""
    spec = planned.spec
    experiment = Experiment(
        name=spec.name or f"{planned.dataset.name[:150]}: {len(planned.cells)} cells",
        spec=spec.model_dump(mode="json"),
        dataset_id=planned.dataset.id,
    )
    for number, point in enumerate(planned.cells):
        cell = Cell(position=number, point=point.point, spec=point.spec.model_dump(mode="json"), experiment=experiment)
        session.add(cell)
    session.flush()
    session.add_all(
        Execution(
            experiment_id=experiment.id,
            cell=cell,
            position=index,
            seed=derive_seed(spec.seed, "execution", cell.position, index),
            epochs=planned.cells[cell.position].spec.training.epochs,
        )
        for cell in experiment.cells
        for index in range(spec.executions)
    )
    session.flush()
    return experiment


def get(session: Session, experiment_id: str) -> Experiment:
    """The experiment with its cells.

    Raises:
        NotFound: no such experiment.
    """
    query = sa.select(Experiment).where(Experiment.id == experiment_id).options(selectinload(Experiment.cells))
    experiment = session.scalar(query)
    if experiment is None:
        remedy = "GET /experiments lists them."
        raise NotFound(f"there is no experiment {experiment_id!r}", field="experiment", remedy=remedy)
    return experiment


def page(session: Session, *, state: State | None, cursor: str | None, limit: int) -> Page[Experiment]:
    """Newest first."""
    cells = selectinload(Experiment.cells).load_only(Cell.position, Cell.point, Cell.experiment_id)
    query = sa.select(Experiment).options(cells, joinedload(Experiment.dataset))
    if state is not None:
        query = query.where(Experiment.state == state)
    return page_of(session, query, Experiment.id, cursor=cursor, limit=limit)


@dataclass(frozen=True)
class Progress:
    """How far an experiment is."""

    counts: dict[State, int]
    epochs: int
    epochs_done: int

    @property
    def share_done(self) -> float:
        """0 … 1, in epochs, those of executions that ended otherwise counted as done."""
        return self.epochs_done / self.epochs if self.epochs else 0.0


def progress(session: Session, experiment_ids: Sequence[str]) -> dict[str, Progress]:
    """The progress of each of these experiments."""
    done = sa.case((Execution.state.in_([State.QUEUED, State.RUNNING]), Execution.epochs_done), else_=Execution.epochs)
    query = (
        sa.select(
            Execution.experiment_id, Execution.state, sa.func.count(), sa.func.sum(Execution.epochs), sa.func.sum(done)
        )
        .where(Execution.experiment_id.in_(experiment_ids))
        .group_by(Execution.experiment_id, Execution.state)
    )
    rows = session.execute(query).all()
    return {id: _progress([tuple(row[1:]) for row in rows if row[0] == id]) for id in experiment_ids}


def _progress(rows: list[tuple[State, int, int, int]]) -> Progress:
    counts = Counter({state: count for state, count, _, _ in rows})
    return Progress(
        counts={state: counts[state] for state in State if state is not State.CANCELLING},
        epochs=sum(row[2] for row in rows),
        epochs_done=sum(row[3] for row in rows),
    )


def cancel(session: Session, experiment_id: str) -> Experiment:
    """Ask for the end: what waits is cancelled now, what runs stops between two batches. Asking twice is asking once.

    Raises:
        NotFound: no such experiment.
        Conflict: it has ended already, otherwise than by cancellation.
    """
    experiment = lock(session, experiment_id)
    if experiment.state in (State.CANCELLING, State.CANCELLED):
        return experiment
    if experiment.state.terminal:
        raise Conflict(f"experiment {experiment_id} has {experiment.state.value} already")
    _move(experiment, State.CANCELLING)
    experiment.cancel_requested_at = utc_now()
    session.execute(
        sa.update(Execution)
        .where(Execution.experiment_id == experiment_id, Execution.state == State.QUEUED)
        .values(state=State.CANCELLED, finished_at=utc_now())
    )
    return settle(session, experiment_id)


def lock(session: Session, experiment_id: str) -> Experiment:
    """Take the experiment's row for this transaction, as it is now.

    Whoever changes executions takes it before touching any: transactions that take locks in one order cannot block each
    other, and of two executions that end together the second sees the end of the first.

    Raises:
        NotFound: no such experiment.
    """
    query = sa.select(Experiment).where(Experiment.id == experiment_id).with_for_update()
    experiment = session.scalar(query.execution_options(populate_existing=True))
    if experiment is None:
        raise NotFound(f"there is no experiment {experiment_id!r}", field="experiment")
    return experiment


def settle(session: Session, experiment_id: str) -> Experiment:
    """Bring the experiment's state in line with its executions; called in every transaction that changes one.

    The caller holds the experiment's lock. An experiment that succeeds gives the alias `default` its first model.
    """
    experiment = session.get_one(Experiment, experiment_id)
    query = sa.select(Execution.state, sa.func.count()).where(Execution.experiment_id == experiment_id)
    counts = dict(session.execute(query.group_by(Execution.state)).all())
    target = settled_state(experiment.state, counts)
    if target is not experiment.state:
        _move(experiment, target)
        if target is State.SUCCEEDED:
            models.publish_default(session, experiment_id)
    return experiment


def mean_class_size(dataset: Dataset) -> float:
    """Mean number of training images a class: the unit of noise quantity."""
    assert dataset.classes, "the dataset is ready"
    return _train_count(dataset) / len(dataset.classes)


def _train_count(dataset: Dataset) -> int:
    assert dataset.train_count is not None, "the dataset is ready"
    return dataset.train_count


def _move(experiment: Experiment, target: State) -> None:
    assert target in EXPERIMENT_MOVES[experiment.state], f"{experiment.state} does not lead to {target}"
    experiment.state = target
    if target is State.RUNNING:
        experiment.started_at = utc_now()
    if target.terminal:
        experiment.finished_at = utc_now()


def _usable_dataset(session: Session, reference: str) -> Dataset:
    try:
        dataset = datasets.get(session, reference)
    except NotFound as error:
        known = ", ".join(datasets.names(session)) or "none yet"
        message = f"there is no dataset {reference!r}"
        raise InvalidSpec([FieldError("dataset", message, f"Ready now: {known}. POST /datasets adds one.")]) from error
    if dataset.state == DatasetState.INGESTING:
        raise NotReady(f"dataset {dataset.name!r} is still being ingested", field="dataset", retry_after_seconds=2)
    if dataset.state == DatasetState.FAILED:
        message = f"the ingestion of dataset {reference!r} failed"
        raise InvalidSpec([FieldError("dataset", message, f"GET /datasets/{dataset.id} says why.")])
    return dataset


def _check_against(dataset: Dataset, spec: ExperimentSpec, caps: Caps) -> None:
    train_count, classes = _train_count(dataset), len(dataset.classes or [])
    if spec.image_size != dataset.image_size:
        message = f"is {spec.image_size}, but dataset {dataset.name!r} was packed at {dataset.image_size}"
        remedy = f"Use image_size {dataset.image_size}, or upload the images again at {spec.image_size}."
        raise InvalidSpec([FieldError("image_size", message, remedy)])
    if math.floor(train_count * (1 - spec.holdout)) < classes:
        message = f"leaves fewer than one training image a class of {train_count}"
        raise InvalidSpec([FieldError("holdout", message, "Hold out less; 0.1 is usual.")])
    check_training_bytes(spec, caps, training_images=train_count, mean_class_size=mean_class_size(dataset))
