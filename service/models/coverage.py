"""Coverage and error over budgets, by the images that a model's thresholds come from."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.manifest import Calibration
from noisegate.rejection.fitted_rule import FittedRule, as_told, fit_rule
from noisegate.rejection.reference import HeldOut, Reference
from noisegate.store.tables import Model
from service.models.schemas import CoveragePoint, CoverageRead

# Fine where budgets usually lie.
_BUDGETS = tuple(np.round(np.concatenate([np.arange(0, 0.1, 0.0025), np.arange(0.1, 0.501, 0.01)]), 4).tolist())

Thresholds = Callable[[float], dict[str, float]]


def coverage_of(model: Model, reference: Reference | None, rule: DecisionRule | None) -> CoverageRead:
    """The curve of one model.

    Raises:
        InvalidInput: the rule names a score that the model has not.
    """
    held, calibration = reference.held if reference else None, model.manifest.calibration
    if rule is not None:
        fitted = fit_rule(rule, reference)
        assert held is not None, "a rule is fitted to held-out images"
        return _curve(model.id, rule, held, _of_rule(fitted), fitted.smallest_promise)
    if held is None or calibration is None:
        return CoverageRead(model=model.id, rule=None, held_out_images=0, points=[])
    return _curve(model.id, None, held, _of_reject_score(calibration), calibration.smallest_promise)


def _of_rule(fitted: FittedRule) -> Thresholds:
    return lambda budget: dict(zip(fitted.rule.names, fitted.thresholds(budget), strict=True))


def _of_reject_score(calibration: Calibration) -> Thresholds:
    return lambda budget: {REJECT_SCORE: calibration.threshold(budget)}


def _curve(
    model_id: str, rule: DecisionRule | None, held: HeldOut, thresholds: Thresholds, smallest: float
) -> CoverageRead:
    budgets = [smallest, *(budget for budget in _BUDGETS if budget > smallest)]
    points = [_point(held, budget, thresholds(budget)) for budget in budgets]
    return CoverageRead(model=model_id, rule=rule, held_out_images=len(held.is_noise), points=points)


def _point(held: HeldOut, budget: float, bounds: dict[str, float]) -> CoveragePoint:
    beyond = [held.unknownness[name] > bound for name, bound in bounds.items()]
    accepted: npt.NDArray[np.bool_] = ~np.any([held.is_noise, *beyond], axis=0)
    error = None
    if held.correct is not None and accepted.any():
        error = 1 - float(held.correct[accepted].mean())
    return CoveragePoint(
        max_false_reject=budget,
        thresholds={name: as_told(name, bound) for name, bound in bounds.items()},
        coverage=float(accepted.mean()),
        error=error,
    )
