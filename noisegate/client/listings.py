"""Collections as tables for people, and the plan of an experiment."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from noisegate.api.answers import ExperimentAnswer, PlanAnswer, WorkerAnswer
from noisegate.api.dataset_answers import DatasetAnswer
from noisegate.api.model_answers import ModelAnswer
from noisegate.api.preset_answers import BackboneAnswer, PresetAnswer
from noisegate.api.result_answers import SampleAnswer
from noisegate.client.console import printable
from noisegate.client.tables import id_column, number_columns, table_of


def plan_table(plan: PlanAnswer) -> RenderableType:
    """What a dry run found."""
    table = table_of(
        "cell",
        "point",
        title=f"{plan.cell_count} cells" + (f" on {plan.dataset.name}" if plan.dataset else ""),
    )
    number_columns(table, "noise images", "training images")
    for cell in plan.cells:
        table.add_row(str(cell.cell), cell.label, f"{cell.noise_images:,}", f"{cell.training_images:,}")
    base = " (one of them the base of the subgroups)" if plan.base else ""
    total = f"{plan.executions} executions{base}, {plan.training_images:,} training images in all. Nothing was created."
    chosen = [choice.reason] if (choice := plan.choice) else []
    warned = [f"Beware: {warning.detail} {warning.remedy}" for warning in plan.warnings]
    lasts = [estimate.detail] if (estimate := plan.estimate) else []
    room = [disk.detail] if (disk := plan.disk) else []
    return Group(table, *(Text(line) for line in [*chosen, *warned, total, *lasts, *room]))


def presets_table(presets: Iterable[PresetAnswer]) -> RenderableType:
    """One line a preset; its cells are the same at every scale, what differs is how often and how long each is trained."""
    table = table_of("preset", "title", "source")
    number_columns(table, "cells")
    for preset in presets:
        table.add_row(preset.name, preset.title, preset.source, str(preset.scales["paper"].cells))
    return table


def datasets_table(datasets: Iterable[DatasetAnswer]) -> RenderableType:
    """One line a dataset, with the error of a failed one."""
    table = table_of("name", "state", "size", id="id")
    number_columns(table, "classes", "train", "test")
    for dataset in datasets:
        error = dataset.error
        table.add_row(
            dataset.id,
            dataset.name,
            f"{dataset.state}: {error.detail}" if error else dataset.state,
            f"{dataset.image_size} px",
            _count(len(dataset.classes) if dataset.classes else None),
            _count(dataset.train_count),
            _count(dataset.test_count),
        )
    return table


def experiments_table(experiments: Iterable[ExperimentAnswer]) -> RenderableType:
    """One line an experiment."""
    table = table_of("name", "state", "dataset", id="id")
    number_columns(table, "cells", "executions", "done")
    table.add_column("created")
    for experiment in experiments:
        table.add_row(
            experiment.id,
            experiment.name,
            experiment.state,
            experiment.dataset.name if experiment.dataset else "–",
            str(len(experiment.cells)),
            str(experiment.executions),
            f"{experiment.progress:.0%}",
            f"{experiment.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def samples_table(samples: Iterable[SampleAnswer]) -> RenderableType:
    """One row a training image."""
    table = table_of("image", "name", "label", "rather", "reasons")
    number_columns(table, "value")
    for one in samples:
        other = one.suggested if one.suggested != one.label else ""
        value = "–" if one.value is None else f"{one.value:.3f}"
        name = printable(one.name or "–")
        table.add_row(str(one.image), name, printable(one.label), printable(other), ", ".join(one.reasons), value)
    return table


def workers_table(workers: Iterable[WorkerAnswer]) -> RenderableType:
    """One row a worker."""
    table = table_of("worker", "device")
    number_columns(table, "busy", "images/s", "heartbeat")
    for worker in workers:
        age = f"{worker.heartbeat_age_seconds:.0f} s ago"
        table.add_row(
            worker.name,
            worker.device,
            f"{len(worker.executions)} of {worker.processes}",
            _count(round(worker.images_per_second)) if worker.images_per_second else "",
            age if worker.alive else f"{age}, lost",
        )
    return table


def models_table(models: Iterable[ModelAnswer]) -> RenderableType:
    """One line a model."""
    table = table_of("aliases", id="id")
    id_column(table, "experiment")
    number_columns(table, "cell")
    table.add_column("noise class", overflow="fold")
    number_columns(table, "classes", "holdout %", "threshold")
    for model in models:
        table.add_row(
            model.id,
            ", ".join(model.aliases),
            model.experiment,
            str(model.cell),
            "yes" if model.has_noise_class else "no",
            str(len(model.classes)),
            _percent(model.holdout_accuracy) + _how_measured(model),
            "–" if model.default_threshold is None else f"{model.default_threshold:.3f}",
        )
    return table


def backbones_table(backbones: Iterable[BackboneAnswer]) -> RenderableType:
    """One line a backbone."""
    table = table_of("weights", "licence", id="backbone")
    number_columns(table, "px", "M parameters", "M MACs")
    for backbone in backbones:
        table.add_row(
            backbone.name,
            backbone.source,
            backbone.licence,
            str(backbone.image_size),
            _millions(backbone.parameters),
            _millions(backbone.macs),
        )
    return table


def _millions(number: int | None) -> str:
    return "–" if number is None else f"{number / 1e6:,.1f}"


def _how_measured(model: ModelAnswer) -> str:
    promise = model.promise
    return " cross-validated" if promise and promise.source == "cross_validated" else ""


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"
