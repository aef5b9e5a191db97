"""Executions of a cell from its training set to what is measured of each: on the test set, and on images that were held out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from noisegate.evaluation.holding import answer_held, answers_of
from noisegate.evaluation.metrics import table1
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome, Held
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
    """Train one execution a seed and measure each on the test set and on what was held out, by holdout or by cross-validation;
    yields those that were trained together.

    `together`, `resume`, `on_checkpoint` and the order are those of `train`. Whatever the callbacks raise passes through.
    `false_reject` is taken at the default budget of 5 %, or the smallest that the model can promise.
    """
    rounds = train(
        cell.inputs,
        cell.labels,
        network=cell.spec.trained_network,
        outputs=cell.outputs,
        spec=cell.training,
        seeds=seeds,
        known_images=cell.known_images,
        beside=_beside(cell),
        noise_weight=cell.spec.noise_weight,
        record_samples=cell.spec.record == "samples",
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
    """By seed."""
    if not trained:
        return {}
    tested = answers_of(trained, cell.test_inputs, device, between_batches)
    held = answer_held(cell, trained, device, between_batches)
    return {
        one.seed: of_held if isinstance(of_held, Diverged) else _measure(cell, one, of_tests, of_held)
        for one, of_tests, of_held in zip(trained, tested, held, strict=True)
    }


def _measure(cell: PreparedCell, trained: Trained, tested: Answers, held: Held | None) -> ExecutionOutcome | Diverged:
    known = len(cell.classes)
    if not all(np.isfinite(answers.logits).all() for answers in (tested, held.answers if held else None) if answers):
        return Diverged(trained.seed, len(trained.losses))
    test = softmax(tested.logits)
    if held is None:
        metrics = table1(test, cell.test_labels, known, rejected=None)
        return ExecutionOutcome(trained, metrics, None, None, tested, None)
    shares = softmax(held.answers.logits)
    called = shares.argmax(axis=1)
    temperature = fit_temperature(held.answers.logits, held.labels)
    calibration = calibrate(reject_scores(shares, known), called >= known, temperature, held.source)
    rejected = apply_rule(test, known, calibration.threshold(DEFAULT_MAX_FALSE_REJECT)).rejected
    return ExecutionOutcome(
        trained=trained,
        metrics=table1(test, cell.test_labels, known, rejected=rejected),
        calibration=calibration,
        holdout_accuracy=float((called == held.labels).mean()),
        test_answers=tested,
        held=held,
    )
