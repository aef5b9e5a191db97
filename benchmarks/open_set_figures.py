"""How well scores tell known from unknown images in `open_set_flowers` and `open_set_tuned`, by the library's own functions.

Rules of two scores are those of `noisegate.rejection.fitted_rule`: their AUROC is of the larger of an image's two ranks.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from open_set_images import NOISE

from noisegate.decision_rule import DecisionRule
from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.open_set_metrics import auroc
from noisegate.evaluation.references import make_reference
from noisegate.evaluation.rule_choice import ranks_by
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, level_of
from noisegate.rejection.fitted_rule import FittedRule, fit_rule
from noisegate.rejection.reference import HeldOut, Reference, compute_scores
from noisegate.rejection.rule import apply_rule, reject_scores
from noisegate.rejection.scores import Rows, softmax
from noisegate.spec import TrainingExperiment

# AUROC and the share rejected, by group of images and score.
Figures = dict[str, dict[str, tuple[float, float]]]
_PAIRS = (
    ("knn", "reject_score"),
    ("mahalanobis", "reject_score"),
    ("vim", "reject_score"),
    ("knn", "vim"),
    ("knn", "mahalanobis"),
)


def spec(changes: dict[str, Any], choice: int) -> TrainingExperiment:
    return TrainingExperiment.model_validate(
        {"dataset": "flowers", "network": {"backbone": "tf_efficientnet_lite0"}, "seed": choice, **changes}
    )


def run(cell: PreparedCell) -> ExecutionOutcome:
    ((outcome,),) = run_executions(cell, [cell.spec.seed], between_batches=lambda: None, on_epoch=lambda _: None)
    assert isinstance(outcome, ExecutionOutcome)
    return outcome


def answers(outcome: ExecutionOutcome, inputs: np.ndarray) -> Answers:
    return Answers(*answer(outcome.trained, inputs))


def figures(cell: PreparedCell, outcome: ExecutionOutcome, unknown: dict[str, Answers]) -> Figures:
    """AUROC and share rejected at the default budget, by group and score."""
    reference, calibration = make_reference(cell, outcome), outcome.calibration
    assert reference is not None
    assert calibration is not None
    quantiles = {"reject_score": np.array(calibration.quantiles), **reference.quantiles}
    rules = [fit_rule(DecisionRule.of(*pair), reference) for pair in _PAIRS]
    tested = _scores(cell, reference, outcome.test_answers, rules)
    found: Figures = {"accuracy": {"accuracy": (outcome.metrics.accuracy, 0.0)}}
    for group, shown in {"known": outcome.test_answers, **unknown}.items():
        scores = _scores(cell, reference, shown, rules)
        rejected = _rejected(cell, shown, scores, quantiles, rules)
        found[group] = {name: (auroc(tested[name], values), rejected[name]) for name, values in scores.items()}
    return found


def _scores(cell: PreparedCell, reference: Reference, shown: Answers, rules: Sequence[FittedRule]) -> dict[str, Rows]:
    """The reject score and all others, turned so that higher means more unknown; and how unknown the rules find images."""
    known = len(cell.classes)
    columns = compute_scores(shown.logits[:, :known], shown.features, reference)
    scores = {"reject_score": reject_scores(softmax(shown.logits), known)}
    scores |= {name: reference.scorers[name].unknownness(values) for name, values in columns.items()}
    is_noise = _is_noise(cell, shown)
    return scores | {_name(rule): ranks_by(rule, scores, is_noise) for rule in rules}


def _is_noise(cell: PreparedCell, shown: Answers) -> Bool[np.ndarray, " n"]:
    is_noise: Bool[np.ndarray, " n"] = shown.logits.argmax(axis=1) >= len(cell.classes)
    return is_noise


def _name(rule: FittedRule) -> str:
    return " + ".join(rule.rule.names)


def _rejected(
    cell: PreparedCell,
    shown: Answers,
    scores: Mapping[str, Rows],
    quantiles: Mapping[str, Rows],
    rules: Sequence[FittedRule],
) -> dict[str, float]:
    """The share that each score alone rejects at the default budget; the reject score by the whole rule, noise on top included."""

    def beyond(name: str, budget: float) -> Bool[np.ndarray, " n"]:
        bound = float(quantiles[name][level_of(budget, len(quantiles[name]))])
        if name == "reject_score":
            return apply_rule(softmax(shown.logits), len(cell.classes), bound).rejected
        return scores[name] > bound

    found = {name: float(beyond(name, DEFAULT_MAX_FALSE_REJECT).mean()) for name in quantiles}
    said = HeldOut(scores, _is_noise(cell, shown))
    by_rules = {
        _name(rule): float(rule.rejects(said, rule.promised(DEFAULT_MAX_FALSE_REJECT)).mean()) for rule in rules
    }
    return found | by_rules


def mean(cells: Iterator[Figures]) -> Figures:
    """Of the cells of one choice; `near` is the mean over its unknown classes, `noise` that over families."""
    found: Figures = {}
    several = list(cells)
    for name in dict.fromkeys(name for one in several for name in one):
        target = "near" if name.startswith("near") else name
        members = [
            one[other]
            for one in several
            for other in one
            if (other == name or (target == "near" and other.startswith("near")))
        ]
        found[target] = _averaged(members)
    found["noise"] = _averaged([found.pop(name) for name in NOISE])
    return found


def _averaged(several: Sequence[dict[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    return {
        score: (float(np.mean([one[score][0] for one in several])), float(np.mean([one[score][1] for one in several])))
        for score in several[0]
    }


def summary(choices: Sequence[Figures]) -> dict[str, Any]:
    """Mean and standard deviation over choices, in percent; of near unknowns each choice's, too, for comparisons in pairs."""
    return {
        group: {
            score: {
                what: _spread([100 * one[group][score][place] for one in choices], each=group == "near")
                for place, what in enumerate(("auroc", "rejected"))
            }
            for score in choices[0][group]
        }
        for group in choices[0]
    }


def _spread(values: Sequence[float], *, each: bool) -> dict[str, Any]:
    found = {"mean": round(float(np.mean(values)), 2), "std": round(float(np.std(values, ddof=1)), 2)}
    return {**found, "values": [round(value, 2) for value in values]} if each else found


def words(table: dict[str, Any]) -> str:
    lines = [f"accuracy {table['accuracy']['accuracy']['auroc']['mean']}"]
    for group in ("known", "near", "cifar10", "digits", "noise", "inverted"):
        each = (f"{score} {of['auroc']['mean']} ({of['rejected']['mean']} %)" for score, of in table[group].items())
        lines.append(f"{group}: {', '.join(each)}")
    return "\n  ".join(lines)
