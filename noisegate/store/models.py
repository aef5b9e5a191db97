"""The registry: models, which of them a cell keeps, and the aliases that point at them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from noisegate.api.card import Card
from noisegate.decision_rule import DecisionRule
from noisegate.errors import Conflict, NotFound
from noisegate.judgement import has_learnt
from noisegate.manifest import ModelManifest
from noisegate.store import files, judgements
from noisegate.store.pages import Page, page_of
from noisegate.store.sessions import OF_ALL_OWNERS, require_own, sees_all
from noisegate.store.tables import Alias, Execution, Experiment, Model

DEFAULT_ALIAS = "default"
# Nearly all bytes of the row, but for its card; choosing among models needs none of them.
_NO_MANIFEST = defer(Model.manifest, raiseload=True)


@dataclass(frozen=True)
class ModelDigests:
    """The digests of a model's files; one without a holdout has no reference."""

    weights_digest: str
    manifest_digest: str
    onnx_digest: str
    reference_digest: str | None = None


def worth_keeping(
    session: Session,
    cell_id: str,
    *,
    keep: str,
    holdout_accuracy: float | None,
    position: int,
    learnt: bool = True,
) -> bool:
    """Whether a cell that keeps `best`, `all` or `none` of its models would keep this one, as things stand.

    Args:
        learnt: `has_learnt` of its judgement: one that has is better than any that has not.
    """
    if keep == "best":
        rank = _rank(learnt, holdout_accuracy, position)
        return all(rank > theirs for _, theirs in _of_cell(session, cell_id))
    return keep == "all"


def register(
    session: Session,
    execution_id: str,
    files: ModelDigests,
    manifest: ModelManifest,
    *,
    keep: str,
    card: Card | None = None,
) -> list[str]:
    """Enter a model, if its cell keeps it, and drop the one it replaces unless an alias points there.

    Returns the digests that rows named until now: candidates for `files.discard`. The caller holds
    `files.lock`, as two executions of one cell may come here together.
    """
    execution = session.get_one(Execution, execution_id)
    accuracy = manifest.holdout_accuracy
    if not worth_keeping(
        session,
        execution.cell_id,
        keep=keep,
        holdout_accuracy=accuracy,
        position=execution.position,
        learnt=has_learnt(manifest.judgement),
    ):
        return []
    replaced = [model for model, _ in _of_cell(session, execution.cell_id)] if keep == "best" else []
    model = Model(
        owned_by=session.scalar(sa.select(Experiment.owned_by).where(Experiment.id == execution.experiment_id)),
        experiment_id=execution.experiment_id,
        cell_id=execution.cell_id,
        execution_id=execution_id,
        manifest=manifest,
        holdout_accuracy=accuracy,
        card=card,
        rule=manifest.rule,
        **vars(files),
    )
    session.add(model)
    dropped = [digest for old in replaced for digest in _drop(session, old)]
    session.flush()
    return dropped


def get(session: Session, reference: str) -> Model:
    """The model with this id, or the one that the alias of this name points at.

    Raises:
        NotFound: neither.
    """
    model = session.get(Model, reference) or session.scalar(
        sa.select(Model).join(Alias, Alias.model_id == Model.id).where(Alias.name == reference)
    )
    if model is None:
        raise not_found(reference)
    return model


def not_found(reference: str) -> NotFound:
    """The error for a model that is not there, or not for this caller."""
    what = "no default model yet" if reference == DEFAULT_ALIAS else f"no model or alias {reference!r}"
    remedy = "GET /models lists models; PUT /aliases/{name} points an alias at one."
    return NotFound(f"there is {what}", field="model", remedy=remedy)


@dataclass(frozen=True)
class Named:
    """The model that an id or an alias stands for, whose both are, and the rule that is set on it.

    Only who sees both has the model by that name.
    """

    id: str
    owners: frozenset[str]
    rule: DecisionRule | None = None


def named(session: Session, references: Iterable[str]) -> dict[str, Named]:
    """What each of these ids and aliases stands for; those that stand for nothing are left out."""
    asked = list(references)
    by_id = session.execute(sa.select(Model.id, Model.owned_by, Model.rule).where(Model.id.in_(asked)))
    columns = (Alias.name, Alias.owned_by, Model.id, Model.owned_by, Model.rule)
    by_name = session.execute(sa.select(*columns).join(Model, Alias.model_id == Model.id).where(Alias.name.in_(asked)))
    aliased = {name: Named(id, frozenset({theirs, whose}), rule) for name, theirs, id, whose, rule in by_name}
    return aliased | {id: Named(id, frozenset({whose}), rule) for id, whose, rule in by_id}


def names(session: Session) -> list[tuple[str, str]]:
    """All aliases and then all ids, the newest model first, each with the SHA-256 of its model.onnx."""
    aliased = sa.select(Alias.name, Model.onnx_digest).join(Model, Alias.model_id == Model.id).order_by(Alias.name)
    by_id = sa.select(Model.id, Model.onnx_digest).order_by(Model.created_at.desc(), Model.id.desc())
    return [(name, digest) for query in (aliased, by_id) for name, digest in session.execute(query)]


def set_rule(session: Session, reference: str, rule: DecisionRule | None) -> Model:
    """Set the rule that decides where a request asks for none; None for the reject score alone.

    Raises:
        NotFound: no such model.
        NotYours: it is shared.
    """
    model = get(session, reference)
    require_own(session, model)
    model.rule = rule
    session.flush()
    return model


def of_execution(session: Session, execution_id: str) -> Model | None:
    """The model that was kept of this execution."""
    return session.scalar(sa.select(Model).where(Model.execution_id == execution_id))


def page(session: Session, *, experiment_id: str | None, cursor: str | None, limit: int) -> Page[Model]:
    """Newest first."""
    query = sa.select(Model)
    if experiment_id is not None:
        query = query.where(Model.experiment_id == experiment_id)
    return page_of(session, query, Model.id, filters={"experiment": experiment_id}, cursor=cursor, limit=limit)


def best_by_cell(session: Session, experiment_id: str) -> dict[str, Model]:
    """The best model of each cell that has any: one that has learnt before one that has not, then by holdout accuracy.

    Without a holdout it is that of the first execution.
    """
    ranked = sorted(_ranked(session, Model.experiment_id == experiment_id), key=lambda pair: pair[1])
    return {model.cell_id: model for model, _ in ranked}


def point_alias(session: Session, name: str, model_reference: str) -> Alias:
    """Make `name` point at a model, named by id or by another alias.

    A session that sees all owners gives it to the model's owner: a name is visible where its model is.

    Raises:
        NotFound: no such model.
        NotYours: the name is shared.
        Conflict: the name belongs to another owner.
    """
    files.lock(session)
    model = get(session, model_reference)
    alias = session.get(Alias, name, with_for_update=True)
    if alias is None:
        if session.scalar(sa.select(Alias.name).where(Alias.name == name), execution_options={OF_ALL_OWNERS: True}):
            raise Conflict(f"the name {name!r} is another owner's", field="name", remedy="Choose another name.")
        alias = Alias(name=name, model_id=model.id)
        session.add(alias)
    alias.model_id = model.id
    if sees_all(session):
        alias.owned_by = model.owned_by
    session.flush()
    return alias


def aliases(session: Session, model_ids: Sequence[str] | None = None) -> Sequence[Alias]:
    """All aliases by name, or those that point at these models."""
    query = sa.select(Alias).order_by(Alias.name)
    return session.scalars(query if model_ids is None else query.where(Alias.model_id.in_(model_ids))).all()


def delete_alias(session: Session, name: str) -> None:
    """Take the name away from its model.

    Raises:
        NotFound: no such alias.
        NotYours: it is shared.
    """
    files.lock(session)
    alias = session.get(Alias, name)
    if alias is None:
        raise NotFound(f"there is no alias {name!r}", field="name", remedy="GET /aliases lists them.")
    session.delete(alias)
    session.flush()


_Rank = tuple[bool, float, int]


def _of_cell(session: Session, cell_id: str) -> list[tuple[Model, _Rank]]:
    return _ranked(session, Model.cell_id == cell_id)


def _ranked(session: Session, which: sa.ColumnElement[bool]) -> list[tuple[Model, _Rank]]:
    """Models with their ranks, which compare within a cell.

    Each by its own judgement: one that lies far below the others of its cell is never the best of them anyway.
    """
    judgement = judgements.column()
    query = sa.select(Model, Execution.position, judgement).join(Model.execution).where(which).options(_NO_MANIFEST)
    return [
        (model, _rank(has_learnt(judgements.parsed(document)), model.holdout_accuracy, position))
        for model, position, document in session.execute(query)
    ]


def _rank(learnt: bool, holdout_accuracy: float | None, position: int) -> _Rank:
    return (learnt, -1.0 if holdout_accuracy is None else holdout_accuracy, -position)


def _drop(session: Session, model: Model) -> list[str]:
    if aliases(session, [model.id]):
        return []
    session.delete(model)
    return model.digests
