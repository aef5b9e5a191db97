"""How well one trained network tells images of classes that it was not trained on from those that it was."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Int64

from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.open_set_metrics import OpenSetMetrics, open_set_metrics
from noisegate.evaluation.references import all_scores, fit_scores
from noisegate.evaluation.rule_choice import ranks_by
from noisegate.evaluation.samples import SampleTable
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT
from noisegate.networks.preprocessing import Inputs
from noisegate.open_set import OpenSetFound, ScoreFound, SelectionFound, UnknownFound
from noisegate.rejection import SCORES
from noisegate.rejection.fitted_rule import FittedRule, fit_rule
from noisegate.rejection.reference import Reference
from noisegate.rejection.scores import Fitted, Rows, softmax

# The noise class by itself; higher for more unknown images.
NOISE_PROBABILITY = "noise_probability"
# The rule that was chosen by declared unknown images: the larger of the ranks by its scores.
RULE = "rule"
# How results call the test images of the known classes among sets of images.
KNOWN = "known"

Flags = Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class UnknownImages:
    """One set of unknown images: images or their features, where each lies in its dataset, and the name of its class.

    `places` count a dataset's images, training images first.
    """

    name: str
    distance: str
    inputs: Inputs
    places: Int64[np.ndarray, " n"]
    labels: Sequence[str]


@dataclass(frozen=True)
class Judged:
    """What is said of some images: by each score how unknown it finds them, and which it rejects at the default budget.

    `called` are the most probable known classes, `given` the most probable of all, the noise class being the last, and
    `probability` is that of `given`. `rejected` is empty without a holdout; `decided` is what the rule that decides rejects.
    """

    unknownness: Mapping[str, Rows]
    rejected: Mapping[str, Flags]
    called: Int64[np.ndarray, " n"]
    given: Int64[np.ndarray, " n"]
    probability: Rows
    decided: Flags


def measure_open_set(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    unknown: Sequence[UnknownImages],
    held_out: Sequence[str],
    test_places: Int64[np.ndarray, " test"],
    reference: Reference | None,
    rule: DecisionRule | None = None,
    device: str = "cpu",
    between_batches: Callable[[], None] = lambda: None,
) -> Analysis:
    """All metrics of all scores for each set of unknown images, and the scores of each image.

    Args:
        unknown: one set at least.
        held_out: names of the classes that were left out of training.
        test_places: where the cell's test images lie in the dataset.
        reference: what `make_reference` made of the execution.
        rule: one that was chosen for it, to be measured beside the scores.
        between_batches: called every second or so; its exceptions propagate.
    """
    answer_of = partial(answer, device=device, between_batches=between_batches)
    if reference is None:
        width = outcome.test_answers.features.shape[1]
        fitted = fit_scores(cell, outcome.trained, np.arange(cell.known_images), width, answer_of)
    else:
        fitted = {name: reference.fitted_of(name) for name in SCORES}
    fitted_rule = fit_rule(rule, reference) if rule else None
    judge = partial(_judge, cell, outcome, fitted, _bounds(outcome, reference), fitted_rule)
    known = judge(outcome.test_answers)
    correct = known.called == cell.test_labels
    table = SampleTable(cell.classes)
    table.add(KNOWN, test_places, [cell.classes[label] for label in cell.test_labels], known)
    sets: list[UnknownFound] = []
    selection: dict[str, SelectionFound] = {}
    for images in unknown:
        found_of = judge(Answers(*answer_of(outcome.trained, images.inputs)))
        table.add(images.name, images.places, images.labels, found_of)
        metrics = {
            name: open_set_metrics(of, found_of.unknownness[name], correct) for name, of in known.unknownness.items()
        }
        # The same for every set: of the known images alone.
        selection = {name: _selection(found, known.rejected.get(name), correct) for name, found in metrics.items()}
        scores = {name: _found(found, found_of.rejected.get(name)) for name, found in metrics.items()}
        sets.append(UnknownFound(name=images.name, distance=images.distance, images=len(images.labels), scores=scores))
        between_batches()
    found = OpenSetFound(
        known=list(cell.classes), held_out=list(held_out), known_images=len(correct), selection=selection, unknown=sets
    )
    return Analysis(dict(_measures(found)), open_set=found, samples=table.to_parquet())


def _bounds(outcome: ExecutionOutcome, reference: Reference | None) -> dict[str, float]:
    """How unknown each score must find an image to reject it at the default budget; none without a holdout."""
    if outcome.calibration is None or reference is None:
        return {}
    level = np.array([outcome.calibration.level(DEFAULT_MAX_FALSE_REJECT, reference.levels)])
    bounds = {name: scorer.unknownness(reference.thresholds(name, level)) for name, scorer in SCORES.items()}
    return {name: float(bound[0]) for name, bound in bounds.items()}


def _judge(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    fitted: Mapping[str, Fitted],
    bounds: Mapping[str, float],
    rule: FittedRule | None,
    answers: Answers,
) -> Judged:
    known, calibration = len(cell.classes), outcome.calibration
    said = all_scores(answers, known, fitted)
    unknownness = dict(said.unknownness)
    rejected = {name: unknownness[name] > bound for name, bound in bounds.items()}
    if calibration is not None:
        above = unknownness[REJECT_SCORE] > calibration.threshold(DEFAULT_MAX_FALSE_REJECT)
        rejected[REJECT_SCORE] = above | said.is_noise
    if cell.spec.has_noise_class:
        unknownness[NOISE_PROBABILITY] = softmax(answers.logits)[:, known]
        rejected[NOISE_PROBABILITY] = said.is_noise
    if rule is not None:
        rejected[RULE] = rule.rejects(said, rule.promised(DEFAULT_MAX_FALSE_REJECT))
        unknownness[RULE] = ranks_by(rule, said.unknownness, said.is_noise)
    return judged(answers, known, unknownness, rejected, rejected.get(RULE, rejected.get(REJECT_SCORE, said.is_noise)))


def judged(
    answers: Answers, known: int, unknownness: Mapping[str, Rows], rejected: Mapping[str, Flags], decided: Flags
) -> Judged:
    """These scores and decisions, with what the network says by itself.

    Args:
        known: the number of known classes.
    """
    probabilities = softmax(answers.logits)
    return Judged(
        unknownness=unknownness,
        rejected=rejected,
        called=answers.logits[:, :known].argmax(axis=1),
        given=probabilities.argmax(axis=1),
        probability=probabilities.max(axis=1),
        decided=decided,
    )


def _found(metrics: OpenSetMetrics, rejected: Flags | None) -> ScoreFound:
    return ScoreFound(
        auroc=metrics.auroc,
        aupr_unknown=metrics.aupr_unknown,
        aupr_known=metrics.aupr_known,
        known_rejected_at_95_unknown_rejected=metrics.known_rejected_at_95_unknown_rejected,
        unknown_accepted_at_95_known_accepted=metrics.unknown_accepted_at_95_known_accepted,
        detection_error=metrics.detection_error,
        oscr=metrics.oscr,
        rejected=None if rejected is None else float(rejected.mean()),
    )


def _selection(metrics: OpenSetMetrics, rejected: Flags | None, correct: Flags) -> SelectionFound:
    risk = None
    if rejected is not None and not rejected.all():
        risk = float(1 - correct[~rejected].mean())
    return SelectionFound(
        aurc=metrics.aurc,
        augrc=metrics.augrc,
        excess_aurc=metrics.excess_aurc,
        false_reject=None if rejected is None else float(rejected.mean()),
        risk=risk,
    )


def _measures(found: OpenSetFound) -> Iterator[tuple[str, float | None]]:
    """What results tables show beside accuracy: the deciding score's metrics for each set of unknown images."""
    for one in found.unknown:
        of_rule = one.scores[REJECT_SCORE]
        yield f"auroc of {one.name}", of_rule.auroc
        yield f"oscr of {one.name}", of_rule.oscr
        yield f"rejected of {one.name}", of_rule.rejected
