"""Executions that train image classifiers: load, train, measure, export. No transaction is open while training."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from noisegate import tracing
from noisegate.api.card import Card
from noisegate.details import Details, SubgroupUsed
from noisegate.errors import InvalidInput
from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.cards import make_card
from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.hybrid_pairs import measure_hybrids
from noisegate.evaluation.references import make_reference
from noisegate.evaluation.scored_images import score_images, scores_to_bytes
from noisegate.learning.cells import CellData, PreparedCell, prepare_cell
from noisegate.learning.export import ModelFiles, export_model, versions
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.subgroups import ScoredImages
from noisegate.learning.training import Diverged, Progress
from noisegate.seeds import derive_seed
from noisegate.spec import ClassifierExperiment, HybridsExperiment
from noisegate.store import executions, models
from noisegate.store.artefacts import Artefacts
from noisegate.store.executions import Outcome
from noisegate.store.packed import open_packed
from noisegate.store.tables import Dataset, Execution
from worker import cells
from worker.bases import counts_of, scores_of_base
from worker.checkpoints import Checkpoints
from worker.devices import occupy, place
from worker.recording import Yield, device_name
from worker.resources import Resources

# Gives what an execution leaves, when its turn to be recorded has come: exporting takes time and memory.
Finish = Callable[[], Yield]


class TrainingDiverged(InvalidInput):
    """The loss or the logits stopped being finite numbers."""

    code = "diverged"
    title = "Training diverged"

    def __init__(self, diverged: Diverged) -> None:
        detail = f"the loss stopped being a finite number in epoch {diverged.epoch} (seed {diverged.seed})"
        super().__init__(detail, remedy="Lower training.learning_rate or training.first_layer_std.")


@dataclass(frozen=True)
class _Context:
    """What all executions of one claim share."""

    resources: Resources
    cell: PreparedCell
    data: CellData
    device: str
    check: Callable[[], None]


@dataclass(frozen=True)
class Hooks:
    """What is called while executions train.

    check: between batches; whatever it raises passes through. note: after every epoch of every execution.
    """

    check: Callable[[], None]
    note: Callable[[Progress], None]
    checkpoints: Checkpoints


def train_classifiers(
    resources: Resources, claimed: Sequence[Execution], spec: ClassifierExperiment, hooks: Hooks
) -> Iterator[tuple[Execution, Finish]]:
    """Train executions of one cell, each from its last checkpoint; yields each, once it has ended, and how it is finished."""
    first = claimed[0]
    dataset = first.cell.experiment.dataset
    assert dataset is not None, "classifiers are trained on a dataset"
    with tracing.span("noisegate.prepare"):
        placing = place(resources.settings, spec, dataset, len(claimed))
        occupy(resources.settings, placing.device)
        data = _cell_data(resources.artefacts, dataset)
        cell = cells.prepared(
            first.cell.id,
            lambda: prepare_cell(spec, data, first.cell.position, hooks.check, _scored(resources, first, data)),
        )
    context = _Context(resources, cell, data, placing.device, hooks.check)
    by_seed = {execution.seed: execution for execution in claimed}
    rounds = run_executions(
        cell,
        list(by_seed),
        between_batches=hooks.check,
        on_epoch=hooks.note,
        resume=hooks.checkpoints.read(),
        on_checkpoint=hooks.checkpoints.offer,
        device=placing.device,
        together=placing.together,
    )
    for results in tracing.each("noisegate.train", rounds):
        # The best first: its cell keeps it, and need not have been given the files and card of any other before.
        for result in sorted(results, key=_holdout_accuracy, reverse=True):
            execution = by_seed[result.seed]
            yield execution, partial(_finish, context, execution, result)


def _holdout_accuracy(result: ExecutionOutcome | Diverged) -> float:
    return -1 if isinstance(result, Diverged) or result.holdout_accuracy is None else result.holdout_accuracy


def _finish(context: _Context, execution: Execution, result: ExecutionOutcome | Diverged) -> Yield:
    if isinstance(result, Diverged):
        raise TrainingDiverged(result)
    scored = _scores_if_base(context, execution, result)
    outcome = _outcome(result, _details(context, result, scored))
    keep = context.cell.spec.keep_models
    files, card = _export(context, execution, result)
    return Yield(outcome, files, card, keep, scores_to_bytes(scored) if scored else None)


def _scored(resources: Resources, execution: Execution, data: CellData) -> ScoredImages | None:
    return scores_of_base(resources, execution.depends_on, data) if execution.depends_on else None


def _scores_if_base(context: _Context, execution: Execution, outcome: ExecutionOutcome) -> ScoredImages | None:
    with context.resources.sessions.reading() as session:
        if not executions.is_base(session, execution.id):
            return None
    trained, data = outcome.trained, context.data
    return score_images(
        trained.module, trained.mean, data.train_images, data.train_labels, context.device, context.check
    )


def _details(context: _Context, outcome: ExecutionOutcome, scored: ScoredImages | None) -> Details:
    found = _analysis(context, outcome)
    return Details(
        subgroup=_subgroup_used(context.cell),
        scored=counts_of(scored) if scored else None,
        measures=dict(found.measures),
        figure=dict(found.details),
    )


def _analysis(context: _Context, outcome: ExecutionOutcome) -> Analysis:
    spec = context.cell.spec
    if not isinstance(spec, HybridsExperiment):
        return Analysis({})
    # One seed for the whole experiment: every execution of every cell is asked for the same hybrids.
    return measure_hybrids(
        context.cell, outcome, spec.hybrids, derive_seed(spec.seed, "hybrids"), context.device, context.check
    )


def _subgroup_used(cell: PreparedCell) -> SubgroupUsed | None:
    if (subgroup := cell.subgroup) is None:
        return None
    counts = np.bincount(cell.labels[: cell.known_images], minlength=len(cell.classes))
    return SubgroupUsed(
        size=len(subgroup.indices),
        duplicates=subgroup.duplicates,
        correct=subgroup.correct,
        wrong=subgroup.wrong,
        classes=dict(zip(cell.classes, counts.tolist(), strict=True)),
    )


def _outcome(outcome: ExecutionOutcome, details: Details) -> Outcome:
    trained = outcome.trained
    return Outcome(
        metrics=outcome.metrics.model_dump(mode="json"),
        details=details.model_dump(mode="json"),
        holdout_accuracy=outcome.holdout_accuracy,
        losses_by_epoch=list(trained.losses),
        train_seconds=trained.train_seconds,
        images_per_second=trained.images_per_second,
        precision=trained.precision,
        device=device_name(trained.device),
        versions=versions() | {"engine": trained.engine},
    )


def _export(
    context: _Context, execution: Execution, outcome: ExecutionOutcome
) -> tuple[ModelFiles, Card] | tuple[None, None]:
    """The model's files and card, unless its cell would not keep it as things stand: both take time."""
    with context.resources.sessions.reading() as session:
        wanted = models.worth_keeping(
            session,
            execution.cell_id,
            keep=context.cell.spec.keep_models,
            holdout_accuracy=outcome.holdout_accuracy,
            position=execution.position,
        )
    if not wanted:
        return None, None
    reference = make_reference(context.cell, outcome, context.device, context.check)
    card = make_card(
        context.cell,
        outcome,
        reference,
        images_per_family=_images_per_family(context.resources.settings.card_images, context.cell.spec.image_size),
        device=context.device,
        between_chunks=context.check,
    )
    return export_model(context.cell, outcome, execution=execution.position, reference=reference), card


def _images_per_family(wanted: int, image_size: int) -> int:
    """As many as are wanted up to 64 pixels a side; fewer of larger images, whose cost grows with their pixels."""
    return min(wanted, max(math.ceil(wanted / 10), wanted * 64**2 // image_size**2))


def _cell_data(artefacts: Artefacts, dataset: Dataset) -> CellData:
    packed = open_packed(artefacts, dataset)
    train = packed.train_count
    return CellData(
        classes=tuple(packed.classes),
        train_images=packed.images[:train],
        train_labels=packed.labels[:train],
        test_images=packed.images[train:],
        test_labels=packed.labels[train:],
        dataset_hash=packed.content_hash,
    )
