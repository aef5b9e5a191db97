"""What is said of known images by networks that were not trained on them: of the holdout, or by cross-validation."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from noisegate.learning.cells import PreparedCell
from noisegate.learning.folds import Fold, each_fold
from noisegate.learning.outcomes import Answers, FoldHead, Held
from noisegate.learning.prediction import predict_each
from noisegate.learning.training import Diverged, Trained, train
from noisegate.networks.preprocessing import Inputs


def answers_of(
    trained: Sequence[Trained], inputs: Inputs, device: str, between_batches: Callable[[], None]
) -> list[Answers]:
    """Those of networks that were trained together, in one pass over the inputs."""
    modules, preprocessing = [one.module for one in trained], trained[0].preprocessing
    predicted = predict_each(modules, preprocessing, inputs, device=device, between_batches=between_batches)
    return [Answers(*answers) for answers in predicted]


def answer_held(
    cell: PreparedCell, trained: Sequence[Trained], device: str, between_batches: Callable[[], None]
) -> list[Held | Diverged | None]:
    """For each execution, in order; None where the cell holds nothing out.

    By cross-validation an execution's seed trains one more network a fold. Diverged is an execution of which one of these does:
    it would have no threshold.
    """
    if cell.spec.calibration == "cross_validated":
        return _cross_validate(cell, trained, device, between_batches)
    if not len(cell.holdout_inputs):
        return [None] * len(trained)
    answered = answers_of(trained, cell.holdout_inputs, device, between_batches)
    return [Held(answers, cell.holdout_labels) for answers in answered]


def _cross_validate(
    cell: PreparedCell, trained: Sequence[Trained], device: str, between_batches: Callable[[], None]
) -> list[Held | Diverged | None]:
    assert cell.folds is not None, "the cell is cross-validated"
    labels = cell.labels[: cell.known_images]
    logits = {one.seed: np.empty((len(labels), cell.outputs), dtype=np.float32) for one in trained}
    heads: dict[int, list[FoldHead]] = {one.seed: [] for one in trained}
    diverged: dict[int, Diverged] = {}
    for fold in each_fold(cell.folds, cell.known_images):
        for result in _train_without(cell, fold, list(logits), device, between_batches):
            if isinstance(result, Diverged):
                diverged[result.seed] = result
                continue
            (answered,) = answers_of([result], cell.inputs[fold.left_out], device, between_batches)
            logits[result.seed][fold.left_out] = answered.logits
            heads[result.seed].append(FoldHead(fold, result))
    features = cell.inputs[: cell.known_images]
    return [
        diverged.get(seed) or Held(Answers(of_seed, features), labels, tuple(heads[seed]))
        for seed, of_seed in logits.items()
    ]


def _train_without(
    cell: PreparedCell, fold: Fold, seeds: Sequence[int], device: str, between_batches: Callable[[], None]
) -> list[Trained | Diverged]:
    """Networks of the cell's recipe, trained on all images but the fold's."""
    rounds = train(
        cell.inputs[fold.trained],
        cell.labels[fold.trained],
        network=cell.spec.trained_network,
        outputs=cell.outputs,
        spec=cell.training,
        seeds=seeds,
        known_images=int((fold.trained < cell.known_images).sum()),
        noise_weight=cell.spec.noise_weight,
        device=device,
        between_batches=between_batches,
        on_epoch=lambda _: None,
    )
    return list(itertools.chain.from_iterable(rounds))
