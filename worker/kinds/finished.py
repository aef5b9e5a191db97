"""What an execution that trained a classifier hands to those who ask something of it."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from noisegate.decision_rule import REJECT_SCORE, DecisionRule, RuleChoice
from noisegate.evaluation.references import all_scores, make_reference
from noisegate.evaluation.rule_choice import choose_rule
from noisegate.learning.cells import CellData, PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, Metrics
from noisegate.rejection import SCORES
from noisegate.rejection.fitted_rule import fit_rule
from noisegate.rejection.reference import HeldOut, Reference
from noisegate.rejection.rule import apply_rule
from noisegate.rejection.scores import softmax
from worker.resources import Resources


@dataclass(frozen=True)
class Context:
    """What all executions of one claim share.

    `data` are the images that training takes, `whole` the dataset that they are of. `others` are other datasets that the cell
    reads, by the path of the field that names them.
    """

    resources: Resources
    cell: PreparedCell
    data: CellData
    whole: CellData
    others: Mapping[str, CellData]
    device: str
    check: Callable[[], None]


@dataclass(frozen=True)
class Finished:
    """One execution that ran to its end, and what is made of it once for all who ask."""

    context: Context
    outcome: ExecutionOutcome

    @cached_property
    def reference(self) -> Reference | None:
        """What scores that compare remember, and the held-out images' scores; None without a holdout."""
        context = self.context
        return make_reference(context.cell, self.outcome, context.device, context.check)

    @cached_property
    def rule_choice(self) -> RuleChoice | None:
        """Which scores shall decide, by the unknown images that the spec declares; None if it declares none."""
        if not self.context.cell.spec.declared_unknown:
            return None
        reference = self.reference
        assert reference is not None, "a holdout was asked for when it was posted"
        assert reference.held is not None, "it was made just now"
        return choose_rule(reference.held, list(self._declared(reference)))

    @property
    def rule(self) -> DecisionRule | None:
        """The rule that was asked for or chosen; None for the reject score alone."""
        if (asked := self.context.cell.spec.rule) is not None:
            return asked
        chosen = self.rule_choice
        return DecisionRule.of(*chosen.scores) if chosen and chosen.scores != [REJECT_SCORE] else None

    @cached_property
    def metrics(self) -> Metrics:
        """Of the test set; `false_reject` is by the rule that decides."""
        measured = self.outcome.metrics
        if self.rule is None:
            return measured
        return measured.model_copy(update={"false_reject": float(self.rejected.mean())})

    @cached_property
    def rejected(self) -> Bool[np.ndarray, " test"]:
        """Which test images the rule that decides rejects at the default budget; without a threshold those with noise on top."""
        outcome, known = self.outcome, len(self.context.cell.classes)
        if self.rule is None:
            calibration = outcome.calibration
            bound = calibration.threshold(DEFAULT_MAX_FALSE_REJECT) if calibration else math.inf
            return apply_rule(softmax(outcome.test_answers.logits), known, bound).rejected
        reference = self.reference
        assert reference is not None, "a rule rests on held-out images"
        fitted = fit_rule(self.rule, reference)
        said = all_scores(outcome.test_answers, known, {name: reference.fitted_of(name) for name in SCORES})
        return fitted.rejects(said, fitted.promised(DEFAULT_MAX_FALSE_REJECT))

    def _declared(self, reference: Reference) -> Iterator[HeldOut]:
        """What the scores say of each set of declared unknown images."""
        context = self.context
        for number, one in enumerate(context.cell.spec.declared_unknown):
            data = context.others[f"declared_unknown.{number}.dataset"]
            taken = [data.classes.index(name) for name in one.taken_of(data.classes)]
            inputs = data.train_inputs[np.isin(data.train_labels, taken)]
            answers = Answers(*answer(self.outcome.trained, inputs, context.device, between_batches=context.check))
            yield all_scores(answers, len(context.cell.classes), {name: reference.fitted_of(name) for name in SCORES})
