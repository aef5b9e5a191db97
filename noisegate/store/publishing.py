"""Which model becomes `default` when an experiment succeeds, and what is told of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.publication import Publication
from noisegate.judgement import Finding
from noisegate.store import judgements
from noisegate.store.events import EventType
from noisegate.store.models import DEFAULT_ALIAS
from noisegate.store.tables import NOBODY, Alias, Cell, Event, Execution, Experiment, Model


@dataclass(frozen=True)
class _Candidate:
    """A model of the experiment that has a holdout."""

    id: str
    owned_by: str
    accuracy: float
    findings: list[Finding]
    chosen_against: bool

    @property
    def shown(self) -> str:
        return f"{self.id} (holdout accuracy {self.accuracy:.2%})"


def publish_default(session: Session, experiment: Experiment) -> Publication | None:
    """Point `default` at the experiment's best model by holdout accuracy, if nothing is `default` yet.

    Passed over are models that have not learnt, as far as the holdout says, and those without a holdout: they have no
    threshold, and choosing among them by the test set would spoil it. The caller holds `files.lock`, as two experiments may
    succeed together.

    Returns:
        What happened, and why; None if the experiment has kept no model.
    """
    if not session.scalar(sa.select(sa.exists().where(Model.experiment_id == experiment.id))):
        return None
    candidates = _candidates(session, experiment.id)
    learnt = [one for one in candidates if not one.chosen_against]
    alias = session.get(Alias, DEFAULT_ALIAS)
    if alias is not None:
        return _kept(alias, experiment, _why_none(candidates) if not learnt else "it was there before")
    if not learnt:
        remedy = candidates[0].findings[0].remedy if candidates else _WITHOUT_HOLDOUT
        return Publication(
            outcome="none",
            model=None,
            sentence=f"there is no {DEFAULT_ALIAS} model: {_why_none(candidates)}",
            remedy=remedy,
        )
    best = learnt[0]
    session.add(Alias(name=DEFAULT_ALIAS, model_id=best.id, owned_by=best.owned_by))
    session.flush()
    return Publication(outcome="set", model=best.id, sentence=f"{DEFAULT_ALIAS} is now {best.shown}; there was none")


_WITHOUT_HOLDOUT = "Give a holdout, such as 0.1; or point the alias at a model with PUT /aliases/default."


def published(session: Session, experiment_ids: Sequence[str]) -> dict[str, Publication]:
    """What each of these experiments did to `default`, from its last event; nothing of one that has not succeeded."""
    query = sa.select(Event.experiment_id, Event.data).join(Experiment, Event.experiment_id == Experiment.id)
    query = query.where(Experiment.id.in_(experiment_ids), Event.number == Experiment.last_event)
    query = query.where(Event.type == EventType.FINISHED)
    rows = session.execute(query).all() if experiment_ids else []
    return {id: Publication.model_validate(data[DEFAULT_ALIAS]) for id, data in rows if data.get(DEFAULT_ALIAS)}


def _candidates(session: Session, experiment_id: str) -> list[_Candidate]:
    """The best by holdout accuracy first; of equals, that of the first cell and execution."""
    judged = {
        one.execution_id: one
        for found in judgements.by_cell(session, Execution.experiment_id == experiment_id).values()
        for one in found
    }
    columns = (Model.id, Model.owned_by, Model.holdout_accuracy, Model.execution_id)
    query = sa.select(*columns).join(Model.cell).join(Model.execution)
    query = query.where(Model.experiment_id == experiment_id)
    query = query.order_by(Model.holdout_accuracy.desc(), Cell.position, Execution.position)
    return [
        _Candidate(id, owner, accuracy, judged[execution].findings, judged[execution].chosen_against)
        for id, owner, accuracy, execution in session.execute(query)
        if accuracy is not None
    ]


def _why_none(candidates: Sequence[_Candidate]) -> str:
    if not candidates:
        return "this experiment was trained without a holdout, so its models have no threshold"
    first = candidates[0]
    return f"no model of this experiment has learnt; of {first.shown}: {first.findings[0].detail}"


def _kept(alias: Alias, experiment: Experiment, why: str) -> Publication:
    if alias.owned_by not in (experiment.owned_by, NOBODY):
        return Publication(
            outcome="kept", model=None, sentence=f"{DEFAULT_ALIAS} stays as it is: it is another owner's"
        )
    sentence = f"{DEFAULT_ALIAS} stays at {alias.model_id}: {why}"
    return Publication(outcome="kept", model=alias.model_id, sentence=sentence)
