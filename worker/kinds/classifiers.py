"""Executions that train image classifiers: load, train, measure, export. No transaction is open while training."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import sqlalchemy as sa

from noisegate import tracing
from noisegate.api.card import Card
from noisegate.data.packing import IMAGES_FILE
from noisegate.details import Details, SubgroupUsed
from noisegate.errors import InvalidInput
from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.answer_table import answer_table
from noisegate.evaluation.cards import make_card
from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.judging import judge_outcome
from noisegate.evaluation.sample_value.records import record_of
from noisegate.evaluation.scored_images import score_images, scores_to_bytes
from noisegate.judgement import Judgement, has_learnt
from noisegate.learning.cells import CellData, PreparedCell, prepare_cell
from noisegate.learning.describing import described
from noisegate.learning.export import ModelFiles, export_model, versions
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.stopping import early_stopping
from noisegate.learning.subgroups import ScoredImages
from noisegate.learning.training import Diverged, Together
from noisegate.spec import ClassifierExperiment
from noisegate.store import derived, executions, models
from noisegate.store.derived import StoredFile
from noisegate.store.executions import ExecutionResult
from noisegate.store.packed import open_packed
from noisegate.store.settings import Settings
from noisegate.store.tables import Cell, Dataset, Execution
from worker import cells
from worker.bases import counts_of, scores_of_base
from worker.devices import occupy, place
from worker.features import read_features
from worker.kinds.finished import Context, Finished
from worker.kinds.runner import Finish, Runner, Work
from worker.recording import FinishedExecution, device_name
from worker.resources import Resources

Spec = TypeVar("Spec", bound=ClassifierExperiment)


class TrainingDiverged(InvalidInput):
    """The loss or the logits stopped being finite numbers."""

    code = "diverged"
    title = "Training diverged"

    def __init__(self, diverged: Diverged) -> None:
        detail = f"the loss stopped being a finite number in epoch {diverged.epoch} (seed {diverged.seed})"
        super().__init__(detail, remedy="Lower training.learning_rate or training.first_layer_std.")


# What a kind asks of a classifier once it is trained.
Measure = Callable[[Spec, Finished], Analysis]
# The images of a dataset that a kind trains classifiers on, and the classes that are known to them.
Taken = Callable[[Spec, CellData], CellData]


def _all_of_them(_spec: ClassifierExperiment, data: CellData) -> CellData:
    return data


def classifier_runner(measure: Measure[Spec], taken: Taken[Spec] = _all_of_them) -> Runner[Spec]:
    """The runner of a kind that trains classifiers on what is `taken` of a dataset, and then asks each of them for `measure`."""
    return Runner(partial(_run, measure, taken), _count_together)


def _count_together(settings: Settings, spec: ClassifierExperiment, dataset: Dataset | None, most: int) -> int:
    assert dataset is not None, "classifiers are trained on a dataset"
    return place(settings, spec, dataset, most).together.most


def _run(measure: Measure[Spec], taken: Taken[Spec], work: Work[Spec]) -> Iterator[tuple[Execution, Finish]]:
    """Train executions of one cell, each from its last checkpoint."""
    context, together = _prepare(taken, work)
    by_seed = {execution.seed: execution for execution in work.executions}
    rounds = run_executions(
        context.cell,
        list(by_seed),
        between_batches=work.check,
        on_epoch=work.note,
        resume=work.checkpoints.read(),
        on_checkpoint=work.checkpoints.offer,
        device=context.device,
        together=together,
    )
    for results in tracing.each("noisegate.train", rounds):
        # The best first: its cell keeps it, and need not have been given the files and card of any other before.
        for result in sorted(results, key=_holdout_accuracy, reverse=True):
            execution = by_seed[result.seed]
            yield execution, partial(_finish, partial(measure, work.spec), context, execution, result)


def _prepare(taken: Taken[Spec], work: Work[Spec]) -> tuple[Context, Together]:
    resources, first = work.resources, work.executions[0]
    dataset = first.cell.experiment.dataset
    assert dataset is not None, "classifiers are trained on a dataset"
    with tracing.span("noisegate.prepare"):
        placing = place(resources.settings, work.spec, dataset, len(work.executions))
        occupy(resources.settings, placing.device)
        whole = cell_data(resources, dataset, first.cell.needs)
        others = {one.field: cell_data(resources, one.dataset, one.needs) for one in first.cell.others}
        data = taken(work.spec, whole)
        cell = cells.prepared(
            first.cell.id,
            lambda: prepare_cell(
                work.spec,
                data,
                first.cell.position,
                work.check,
                _scored(resources, first, data),
                others,
                *_left_out(resources, first.cell),
            ),
        )
    return Context(resources, cell, data, whole, others, placing.device, work.check), placing.together


def _holdout_accuracy(result: ExecutionOutcome | Diverged) -> float:
    return -1 if isinstance(result, Diverged) or result.holdout_accuracy is None else result.holdout_accuracy


def _finish(
    measure: Callable[[Finished], Analysis],
    context: Context,
    execution: Execution,
    result: ExecutionOutcome | Diverged,
) -> FinishedExecution:
    if isinstance(result, Diverged):
        raise TrainingDiverged(result)
    scored = _scores_if_base(context, execution, result)
    judgement = judge_outcome(context.cell, result)
    finished = Finished(context, result)
    found = measure(finished)
    measured = _result(finished, _details(finished, found, scored, judgement))
    keep = context.cell.spec.keep_models
    files, card = _export(finished, execution, judgement)
    scores = scores_to_bytes(scored) if scored else None
    # What a page shows of test images one by one: of those whose model it could ask, too.
    samples = found.samples or (_test_answers(finished) if files else None)
    recorded = record_of(context.cell, result)
    dynamics = recorded.to_bytes() if recorded else None
    return FinishedExecution(measured, files, card, keep, scores, samples, dynamics)


def _test_answers(finished: Finished) -> bytes:
    context = finished.context
    places = len(context.whole.train_labels) + np.arange(len(context.cell.test_labels))
    return answer_table(context.cell, finished.outcome, finished.rejected, places)


def _scored(resources: Resources, execution: Execution, data: CellData) -> ScoredImages | None:
    return scores_of_base(resources, execution.depends_on, data) if execution.depends_on else None


def _left_out(resources: Resources, cell: Cell) -> tuple[Sequence[int], Sequence[int]]:
    """Places among the dataset's training images that the cell leaves out altogether, and of training alone."""
    if not cell.spec.selects_images:
        return (), ()
    with resources.sessions.reading() as session:
        selection = session.scalar(sa.select(Cell.selection).where(Cell.id == cell.id))
    assert selection is not None, "settled when it was planned"
    return ((), selection.places) if selection.holdout_stays else (selection.places, ())


def _scores_if_base(context: Context, execution: Execution, outcome: ExecutionOutcome) -> ScoredImages | None:
    with context.resources.sessions.reading() as session:
        if not executions.is_base(session, execution.id):
            return None
    trained, data = outcome.trained, context.data
    return score_images(
        trained.module, trained.preprocessing, data.taken_inputs, data.train_labels, context.device, context.check
    )


def _details(finished: Finished, found: Analysis, scored: ScoredImages | None, judgement: Judgement) -> Details:
    context, outcome = finished.context, finished.outcome
    return Details(
        subgroup=_subgroup_used(context.cell),
        scored=counts_of(scored) if scored else None,
        measures=dict(found.measures),
        figure=dict(found.details),
        early_stopping=early_stopping(outcome.trained.holdout_losses),
        judgement=judgement,
        open_set=found.open_set,
        rule_choice=finished.rule_choice,
        regularisation=context.cell.regularisation,
    )


def _subgroup_used(cell: PreparedCell) -> SubgroupUsed | None:
    if (subgroup := cell.subgroup) is None:
        return None
    counts = np.bincount(cell.labels[: cell.known_images], minlength=len(cell.classes))
    return SubgroupUsed(
        size=len(subgroup.indices),
        duplicates=subgroup.repeated_draws,
        correct=subgroup.correct,
        wrong=subgroup.wrong,
        classes=dict(zip(cell.classes, counts.tolist(), strict=True)),
    )


def _result(finished: Finished, details: Details) -> ExecutionResult:
    outcome, trained = finished.outcome, finished.outcome.trained
    return ExecutionResult(
        metrics=finished.metrics,
        details=details,
        holdout_accuracy=outcome.holdout_accuracy,
        losses_by_epoch=list(trained.losses),
        train_seconds=trained.train_seconds,
        images_per_second=trained.images_per_second,
        precision=trained.precision,
        device=device_name(trained.device),
        versions=versions() | {"engine": trained.engine},
    )


def _export(
    finished: Finished, execution: Execution, judgement: Judgement
) -> tuple[ModelFiles, Card] | tuple[None, None]:
    """The model's files and card, unless its cell would not keep it as things stand: both take time."""
    context, outcome = finished.context, finished.outcome
    with context.resources.sessions.reading() as session:
        wanted = models.worth_keeping(
            session,
            execution.cell_id,
            keep=context.cell.spec.keep_models,
            holdout_accuracy=outcome.holdout_accuracy,
            position=execution.position,
            learnt=has_learnt(judgement),
        )
    if not wanted:
        return None, None
    reference = finished.reference
    card = make_card(
        context.cell,
        outcome,
        reference,
        finished.rule,
        images_per_family=_images_per_family(context.resources.settings.card_images, context.cell.spec.image_size),
        device=context.device,
        between_chunks=context.check,
    )
    files = export_model(context.cell, outcome, execution=execution.position, reference=reference)
    settled = {"judgement": judgement, "rule": finished.rule, "metrics": finished.metrics}
    return described(replace(files, manifest=files.manifest.model_copy(update=settled)), reference), card


def _images_per_family(wanted: int, image_size: int) -> int:
    """As many as are wanted up to 64 pixels a side; fewer of larger images, whose cost grows with their pixels."""
    return min(wanted, max(math.ceil(wanted / 10), wanted * 64**2 // image_size**2))


def cell_data(resources: Resources, dataset: Dataset, needs: str | None) -> CellData:
    """The images that a cell reads: those of a view, if that is what it needs, or what it needs was made of; and features."""
    files = _derived_files(resources, needs) if needs else {}
    view, features = files.get("view"), files.get("features")
    packed = open_packed(resources.artefacts, dataset, view[IMAGES_FILE].digest if view else None)
    train = packed.train_count
    return CellData(
        classes=tuple(packed.classes),
        train_images=packed.images[:train],
        train_labels=packed.labels[:train],
        test_images=packed.images[train:],
        test_labels=packed.labels[train:],
        dataset_hash=packed.content_hash,
        features=read_features(resources.artefacts, features, train) if features else None,
    )


def _derived_files(resources: Resources, needs: str) -> dict[str, dict[str, StoredFile]]:
    """The files of the artefact that a cell needs, and of what it was made of, by kind."""
    with resources.sessions.begin() as session:
        lineage = derived.lineage(session, needs)
        derived.note_use(session, [row.id for row in lineage])
        return {row.kind: derived.files_of(session, row.id) for row in lineage}


def _measure_nothing(_spec: ClassifierExperiment, _finished: Finished) -> Analysis:
    return Analysis({})


RUNNER = classifier_runner(_measure_nothing)
