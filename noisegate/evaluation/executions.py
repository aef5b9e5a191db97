"""Executions of a cell from its training set to what is measured of each: on the test set, and on the holdout."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np

from noisegate.evaluation.metrics import table1
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import predict_each
from noisegate.learning.states import Beside
from noisegate.learning.training import ALONE, Diverged, OnCheckpoint, Progress, Together, Trained, train
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT
from noisegate.rejection.calibration import calibrate, fit_temperature
from noisegate.rejection.rule import apply_rule, reject_scores
from noisegate.rejection.scores import softmax


def run_executions(
    cell: PreparedCell,
    seeds: Sequence[int],
    *,
    between_batches: Callable[[], None],
    on_epoch: Callable[[Progress], None],
    device: str = "cpu",
    together: Together = ALONE,
    resume: Mapping[int, bytes] = MappingProxyType({}),
    on_checkpoint: OnCheckpoint = lambda *_: None,
) -> Iterator[list[ExecutionOutcome | Diverged]]:
    """Train one execution a seed and measure each on the test set and the holdout; yields those that were trained together.

    `together`, `resume`, `on_checkpoint` and the order are those of `train`. Whatever the callbacks raise passes through.
    `false_reject` is taken at the default budget of 5 %, or the smallest that the holdout can promise.
    """
    rounds = train(
        cell.inputs,
        cell.labels,
        network=cell.spec.trained_network,
        outputs=cell.outputs,
        spec=cell.spec.training,
        seeds=seeds,
        known_images=cell.known_images,
        beside=_beside(cell),
        device=device,
        together=together,
        between_batches=between_batches,
        on_epoch=on_epoch,
        resume=resume,
        on_checkpoint=on_checkpoint,
    )
    for results in rounds:
        trained = [replace(result, encoder=cell.encoder) for result in results if isinstance(result, Trained)]
        outcomes = _measure_all(cell, trained, device, between_batches)
        yield [result if isinstance(result, Diverged) else outcomes[result.seed] for result in results]


def _beside(cell: PreparedCell) -> Beside:
    pretrained = cell.encoder.layers if cell.encoder and cell.spec.training.tunes_backbone else {}
    return Beside(cell.flipped, pretrained, (cell.holdout_inputs, cell.holdout_labels))


def _measure_all(
    cell: PreparedCell, trained: Sequence[Trained], device: str, between_batches: Callable[[], None]
) -> dict[int, ExecutionOutcome | Diverged]:
    """By seed. All networks answer in one pass over the images."""
    if not trained:
        return {}
    modules, preprocessing = [one.module for one in trained], trained[0].preprocessing
    answer = partial(predict_each, modules, preprocessing, device=device, between_batches=between_batches)
    tested = [Answers(*answers) for answers in answer(cell.test_inputs)]
    held: list[Answers | None] = [None] * len(trained)
    if len(cell.holdout_inputs):
        held = [Answers(*answers) for answers in answer(cell.holdout_inputs)]
    return {
        one.seed: _measure(cell, one, *answers)
        for one, answers in zip(trained, zip(tested, held, strict=True), strict=True)
    }


def _measure(
    cell: PreparedCell, trained: Trained, tested: Answers, held: Answers | None
) -> ExecutionOutcome | Diverged:
    known = len(cell.classes)
    if not all(np.isfinite(answers.logits).all() for answers in (tested, held) if answers):
        return Diverged(trained.seed, len(trained.losses))
    test = softmax(tested.logits)
    if held is None:
        metrics = table1(test, cell.test_labels, known, rejected=None)
        return ExecutionOutcome(trained, metrics, None, None, tested, None)
    holdout = softmax(held.logits)
    temperature = fit_temperature(held.logits, cell.holdout_labels)
    calibration = calibrate(reject_scores(holdout, known), holdout.argmax(axis=1) >= known, temperature)
    rejected = apply_rule(test, known, calibration.threshold(DEFAULT_MAX_FALSE_REJECT)).rejected
    return ExecutionOutcome(
        trained=trained,
        metrics=table1(test, cell.test_labels, known, rejected=rejected),
        calibration=calibration,
        holdout_accuracy=float((holdout.argmax(axis=1) == cell.holdout_labels).mean()),
        test_answers=tested,
        holdout_answers=held,
    )
