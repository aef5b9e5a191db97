"""Deleting experiments and models, with everything that would mean nothing without them."""

from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from noisegate.errors import Conflict
from noisegate.store import experiments, files, models, sample_tables
from noisegate.store.sessions import OF_ALL_OWNERS, require_own
from noisegate.store.states import TERMINAL
from noisegate.store.tables import Alias, Cell, CellDataset, Event, Execution, Experiment, Model


@dataclass(frozen=True)
class Deleted:
    """What went, or would go; `digests` are candidates for `files.discard`."""

    cells: int = 0
    executions: int = 0
    models: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)


def plan_experiment(session: Session, experiment_id: str) -> Deleted:
    """What deleting this experiment would take along.

    Raises:
        NotFound: no such experiment.
        NotYours: it is shared.
        Conflict: it has not ended, an alias points at one of its models, or another experiment builds on it.
    """
    experiment = experiments.lock(session, experiment_id)
    if not experiment.state.terminal:
        remedy = f"POST /experiments/{experiment_id}/cancel, and delete it when it has ended."
        raise Conflict(f"experiment {experiment_id} is {experiment.state.value}", field="experiment", remedy=remedy)
    files.lock(session)
    _refuse_aliased(session, Model.experiment_id == experiment_id)
    _refuse_built_upon(session, experiment_id)
    kept = session.scalars(sa.select(Model).where(Model.experiment_id == experiment_id).order_by(Model.id)).all()
    columns = (Execution.scores_digest, Execution.samples_digest, Execution.dynamics_digest)
    files_of_executions = sa.select(*columns).where(Execution.experiment_id == experiment_id)
    return Deleted(
        cells=_count(session, Cell, experiment_id),
        executions=_count(session, Execution, experiment_id),
        models=[model.id for model in kept],
        digests=[digest for model in kept for digest in model.digests]
        + [digest for row in session.execute(files_of_executions) for digest in row if digest]
        + sample_tables.digests_of(session, experiment_id),
    )


def delete_experiment(session: Session, experiment_id: str) -> Deleted:
    """Delete an experiment with its cells, executions, events and models. Its dataset stays.

    Raises:
        NotFound, NotYours, Conflict: as `plan_experiment`.
    """
    deleted = plan_experiment(session, experiment_id)
    sample_tables.drop(session, experiment_id)
    # One that depends on another of the same experiment would forbid the other to go first.
    session.execute(sa.update(Execution).where(Execution.experiment_id == experiment_id).values(depends_on=None))
    cells = sa.select(Cell.id).where(Cell.experiment_id == experiment_id)
    session.execute(sa.delete(CellDataset).where(CellDataset.cell_id.in_(cells)))
    for table in (Event, Model, Execution, Cell):
        session.execute(sa.delete(table).where(table.experiment_id == experiment_id))
    session.execute(sa.delete(Experiment).where(Experiment.id == experiment_id))
    session.expunge_all()
    return deleted


def delete_model(session: Session, model_id: str) -> Deleted:
    """Delete a model; the execution that trained it keeps its results.

    Raises:
        NotFound: no such model.
        NotYours: it is shared.
        Conflict: an alias points at it, or executions wait for the answers that it gives on the training images.
    """
    files.lock(session)
    model = models.get(session, model_id)
    require_own(session, model)
    _refuse_aliased(session, Model.id == model.id)
    if _awaited(session, model):
        remedy = "Wait until the experiments that build on it have ended, or cancel them."
        raise Conflict(
            f"subgroups that wait to be trained are chosen by model {model.id}", field="model", remedy=remedy
        )
    session.delete(model)
    session.flush()
    return Deleted(models=[model.id], digests=model.digests)


def _refuse_aliased(session: Session, which: sa.ColumnElement[bool]) -> None:
    query = sa.select(Alias.name, Model.id).join(Model, Alias.model_id == Model.id).where(which).order_by(Alias.name)
    if (found := session.execute(query, execution_options={OF_ALL_OWNERS: True}).first()) is not None:
        name, model_id = found
        remedy = f"PUT /aliases/{name} to point it at another model, or DELETE /aliases/{name}."
        raise Conflict(f"the alias {name!r} points at model {model_id}", field="alias", remedy=remedy)


def _refuse_built_upon(session: Session, experiment_id: str) -> None:
    base = aliased(Execution)
    query = sa.select(Execution.experiment_id).join(base, base.id == Execution.depends_on)
    query = query.where(base.experiment_id == experiment_id, Execution.experiment_id != experiment_id)
    if (other := session.scalars(query.order_by(Execution.experiment_id)).first()) is not None:
        # Executions have no owner: the experiment may be another's.
        visible = session.scalar(sa.select(Experiment.id).where(Experiment.id == other))
        other = f"experiment {other}" if visible else "an experiment of another owner"
        remedy = f"Delete {other} first: its subgroups are chosen by an execution of this one."
        raise Conflict(f"{other} builds on {experiment_id}", field="experiment", remedy=remedy)


def _awaited(session: Session, model: Model) -> bool:
    waits = sa.exists().where(Execution.depends_on == model.execution_id, Execution.state.not_in(TERMINAL))
    unscored = sa.exists().where(Execution.id == model.execution_id, Execution.scores_digest.is_(None))
    return bool(session.scalar(sa.select(sa.and_(waits, unscored))))


def _count(session: Session, table: type[Cell] | type[Execution], experiment_id: str) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(table.experiment_id == experiment_id)
    return session.scalar(query) or 0
