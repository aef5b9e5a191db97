"""Which model becomes `default` when an experiment succeeds, and what is told of it.

Accuracies are compared only between models of the same classes and the same dataset, by its content hash. Their holdouts may
still be different images of it, if the experiments have different seeds or holdout shares, or one of them may be cross-validated;
then that is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.publication import Publication
from noisegate.judgement import Finding, has_learnt
from noisegate.manifest import CalibrationSource, ModelManifest
from noisegate.store import judgements
from noisegate.store.events import EventType
from noisegate.store.json_columns import Unreadable
from noisegate.store.models import DEFAULT_ALIAS
from noisegate.store.tables import NOBODY, Alias, Cell, Event, Execution, Experiment, Model

_ACCURACIES: dict[CalibrationSource, str] = {
    "holdout": "holdout accuracy",
    "cross_validated": "cross-validated accuracy",
}


@dataclass(frozen=True)
class _Candidate:
    """A model of the experiment that has a holdout, or is cross-validated."""

    id: str
    owned_by: str
    accuracy: float
    findings: list[Finding]
    chosen_against: bool
    source: CalibrationSource

    @property
    def shown(self) -> str:
        return f"{self.id} ({_ACCURACIES[self.source]} {self.accuracy:.2%})"


def publish_default(session: Session, experiment: Experiment) -> Publication | None:
    """Point `default` at the experiment's best model by its accuracy on held-out images, as far as its spec's `promote` asks.

    Passed over are models that have not learnt, as far as the holdout says, and those without a holdout: they have no
    threshold, and choosing among them by the test set would spoil it. The caller holds `files.lock`, as two experiments may
    succeed together.

    Returns:
        What happened, and why; None if the experiment has kept no model.
    """
    if not session.scalar(sa.select(sa.exists().where(Model.experiment_id == experiment.id))):
        return None
    promote = _asked_for(session, experiment)
    candidates = _candidates(session, experiment.id)
    best = next((one for one in candidates if not one.chosen_against), None)
    alias = session.get(Alias, DEFAULT_ALIAS)
    if promote == "never":
        return _left(alias, experiment, "promote is never")
    if best is None:
        remedy = candidates[0].findings[0].remedy if candidates else _WITHOUT_HOLDOUT
        return _left(alias, experiment, _why_none(candidates), remedy)
    if alias is None:
        session.add(Alias(name=DEFAULT_ALIAS, model_id=best.id, owned_by=best.owned_by))
        session.flush()
        return Publication(
            outcome="set", model=best.id, sentence=f"{DEFAULT_ALIAS} is now {best.shown}; there was none"
        )
    if promote == "if_none":
        return _left(alias, experiment, "it was there before, and promote is if_none", _BY_HAND)
    return _promote(session, alias, experiment, best)


def _asked_for(session: Session, experiment: Experiment) -> str:
    """What the spec says, read without parsing all of it; it is not written where it is the default."""
    written = sa.type_coerce(Experiment.spec, sa.JSON)["promote"].as_string()
    return session.scalar(sa.select(written).where(Experiment.id == experiment.id)) or "if_none"


_BY_HAND = "PUT /aliases/default points it at another model; promote: if_better does so for a better one."
_WITHOUT_HOLDOUT = "Give a holdout, such as 0.1; or point the alias at a model with PUT /aliases/default."


def _promote(session: Session, alias: Alias, experiment: Experiment, best: _Candidate) -> Publication:
    """Move the alias if what it points at has the same classes and dataset, and is worse.

    The experiment's owner must own the alias, as for PUT /aliases: a worker sees all owners' rows, and moves none for another.
    """
    if alias.owned_by != experiment.owned_by:
        return _left(alias, experiment, "it is a shared resource, which takes the scope admin to change")
    # Read past the session's instances, which may have been loaded without their manifests.
    query = sa.select(Model.id, Model.manifest).where(Model.id.in_([alias.model_id, best.id]))
    manifests = dict(session.execute(query).all())
    old, new = manifests[alias.model_id], manifests[best.id]
    if isinstance(old, Unreadable):
        return _left(alias, experiment, "only a newer version can read what it points at", _BY_HAND)
    if reason := _incomparable(old, new) or _no_better(old, new, best.id):
        return _left(alias, experiment, reason)
    sentence = f"{DEFAULT_ALIAS} moved from {alias.model_id} ({old.holdout_accuracy:.2%}) to {best.shown}"
    alias.model_id = best.id
    session.flush()
    return Publication(outcome="moved", model=best.id, sentence=sentence + _on_what(old, new))


def _incomparable(old: ModelManifest, new: ModelManifest) -> str | None:
    """Why accuracies of two models say nothing about which is better; None if they do."""
    if sorted(old.classes) != sorted(new.classes):
        return "it has other classes"
    if old.holdout_accuracy is None:
        return "it has no holdout accuracy to compare with"
    if old.dataset_hash != new.dataset_hash:
        return "it was trained on another dataset, on which accuracies are others"
    return None


def _no_better(old: ModelManifest, new: ModelManifest, id: str) -> str | None:
    """Why the old one stays. One that has learnt is better than one that has not; else a tie stays."""
    assert old.holdout_accuracy is not None
    assert new.holdout_accuracy is not None
    if not has_learnt(old.judgement) or new.holdout_accuracy > old.holdout_accuracy:
        return None
    accuracies = f"{old.holdout_accuracy:.2%}, and {id} has {new.holdout_accuracy:.2%}"
    return f"its {_ACCURACIES[_source(old)]} is {accuracies}, which is no better{_on_what(old, new)}"


def _on_what(old: ModelManifest, new: ModelManifest) -> str:
    """Said where the two were measured on different images: the holdout follows from the experiment's seed and its size, and
    cross-validation takes all training images.
    """
    if (source := _source(old)) != _source(new):
        return "; one was measured on a holdout, the other by cross-validation"
    sizes = [one.calibration.samples if one.calibration else None for one in (old, new)]
    alike = sizes[0] == sizes[1] and (source == "cross_validated" or old.spec.seed == new.spec.seed)
    return "" if alike else "; each was measured on a holdout of its own"


def _source(manifest: ModelManifest) -> CalibrationSource:
    return manifest.calibration.source if manifest.calibration else "holdout"


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
        _Candidate(id, owner, accuracy, one.findings, one.chosen_against, one.source)
        for id, owner, accuracy, execution in session.execute(query)
        if accuracy is not None and (one := judged[execution])
    ]


def _why_none(candidates: Sequence[_Candidate]) -> str:
    if not candidates:
        return "this experiment was trained without a holdout, so its models have no threshold"
    first = candidates[0]
    return f"no model of this experiment has learnt; of {first.shown}: {first.findings[0].detail}"


def _left(alias: Alias | None, experiment: Experiment, why: str, remedy: str | None = None) -> Publication:
    """`default` stays as it is, or stays away. What another owner has is not told."""
    if alias is None:
        return Publication(
            outcome="none", model=None, sentence=f"there is no {DEFAULT_ALIAS} model: {why}", remedy=remedy
        )
    if alias.owned_by not in (experiment.owned_by, NOBODY):
        return Publication(
            outcome="kept", model=None, sentence=f"{DEFAULT_ALIAS} stays as it is: it is another owner's"
        )
    sentence = f"{DEFAULT_ALIAS} stays at {alias.model_id}: {why}"
    return Publication(outcome="kept", model=alias.model_id, sentence=sentence, remedy=remedy)
