"""GET, PUT and DELETE /models/{reference}/decision: which scores decide over images, and what that costs."""

from fastapi import APIRouter, Depends

from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.errors import InvalidInput
from noisegate.rejection import SCORES
from noisegate.rejection.fitted_rule import FittedRule, as_told, fit_rule
from noisegate.rejection.reference import DamagedReference, Reference
from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.tables import Model
from service.bodies import require_json
from service.classify.schemas import Rule, named_rule
from service.deps import ArtefactsDep, SessionsDep
from service.errors import ModelUnusable, problems
from service.models.coverage import coverage_of
from service.models.schemas import BudgetRead, CoverageRead, DecisionRead

_USUAL_BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2)

router = APIRouter(tags=["models"])


@router.get("/models/{reference}/decision", responses=problems(404, 422))
def get_decision(reference: str, sessions: SessionsDep, artefacts: ArtefactsDep) -> DecisionRead:
    """The rule that decides where a request names none, what it may name, and what each budget costs of the held-out images."""
    with sessions.reading() as session:
        model = models.get(session, reference)
    return read_decision(model, reference_of(model, artefacts))


@router.get("/models/{reference}/decision/coverage", responses=problems(404, 422))
def get_coverage(reference: str, sessions: SessionsDep, artefacts: ArtefactsDep, rule: Rule = None) -> CoverageRead:
    """How many held-out images each budget accepts, and how many of those are wrong; by the model's rule, or by another."""
    with sessions.reading() as session:
        model = models.get(session, reference)
    return coverage_of(model, reference_of(model, artefacts), model.rule if rule is None else named_rule(rule))


@router.put(
    "/models/{reference}/decision",
    dependencies=[Depends(require_json)],
    responses=problems(400, 403, 404, 413, 415, 422),
)
def put_decision(reference: str, rule: DecisionRule, sessions: SessionsDep, artefacts: ArtefactsDep) -> DecisionRead:
    """Set the rule of a model: one score, or two. /classify follows within seconds, as it does when an alias moves."""
    with sessions.reading() as session:
        found = reference_of(models.get(session, reference), artefacts)
    try:
        fit_rule(rule, found)
    except InvalidInput as error:
        raise InvalidInput(error.detail, field="scores", remedy=error.remedy) from error
    with sessions.begin() as session:
        model = models.set_rule(session, reference, rule)
    return read_decision(model, found)


@router.delete("/models/{reference}/decision", status_code=204, responses=problems(404, 422))
def delete_decision(reference: str, sessions: SessionsDep, dry_run: bool = False) -> None:
    """Have the reject score alone decide again. With `dry_run`, only see whether that can be done."""
    with sessions.begin(dry_run=dry_run) as session:
        models.set_rule(session, reference, None)


def reference_of(model: Model, artefacts: Artefacts) -> Reference | None:
    """What the model remembers of known images; None without a holdout.

    Raises:
        ModelUnusable: the file is gone or damaged.
    """
    if model.reference_digest is None:
        return None
    try:
        return Reference.from_bytes(artefacts.read(model.reference_digest))
    except (FileNotFoundError, DamagedReference) as error:
        remedy = "Choose another model, or train it again."
        raise ModelUnusable(
            f"the reference of model {model.id} is gone or damaged", field="model", remedy=remedy
        ) from error


def read_decision(model: Model, reference: Reference | None) -> DecisionRead:
    """The rule of a model, what it may be, and what each of the usual budgets costs."""
    held = reference.held if reference else None
    if reference is None or held is None:
        return DecisionRead(model=model.id, rule=model.rule, available=[], smallest_max_false_reject=None, budgets=[])
    fitted = fit_rule(model.rule or DecisionRule.of(REJECT_SCORE), reference)
    rejected = {budget: float(fitted.rejects(held, budget).mean()) for budget in _USUAL_BUDGETS}
    return DecisionRead(
        model=model.id,
        rule=model.rule,
        available=[name for name in (REJECT_SCORE, *SCORES) if name in held.unknownness],
        smallest_max_false_reject=fitted.smallest_promise,
        budgets=[
            BudgetRead(max_false_reject=budget, thresholds=_told(fitted, budget), held_out_rejected=share)
            for budget, share in rejected.items()
            if budget >= fitted.smallest_promise
        ],
    )


def _told(fitted: FittedRule, budget: float) -> dict[str, float]:
    names, bounds = fitted.rule.names, fitted.thresholds(budget)
    return {name: as_told(name, bound) for name, bound in zip(names, bounds, strict=True)}
