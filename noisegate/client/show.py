"""Answers as text for people: tables, decisions. Everything reads as well in a file as in a terminal."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from noisegate.api.answers import (
    Estimate,
    ExperimentAnswer,
    ModelAnswer,
    PlanAnswer,
    PresetAnswer,
    ResultRow,
    ResultsAnswer,
    WorkerAnswer,
)
from noisegate.api.dataset_answers import DatasetAnswer
from noisegate.api.decisions import DecisionAnswer

# Below this the difference stands under the table, as a sentence.
WIDE_COLUMNS = 110
BAR_CELLS = 20
TOP_CLASSES = 3
_FILE_COLUMNS = 120

_REASONS = {
    "noise": "noise",
    "low_confidence": "too little confidence",
    "unsure": "in doubt between classes",
    "unknown": "unlike anything known",
}


def console_for(stream: TextIO | None = None) -> Console:
    """A console that prints what it is given as it stands; outside a terminal without control codes."""
    file = stream or sys.stdout
    width = None if file.isatty() else int(os.environ.get("COLUMNS") or _FILE_COLUMNS)
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False)


def results_table(results: ResultsAnswer, columns: int) -> RenderableType:
    """The results table; in fewer than WIDE_COLUMNS columns the differences follow below it.

    A is the accuracy, Pc, Ps and Pg the mean probabilities of the paper's Table 1, N the test images taken for noise.
    What a kind of experiment measures besides has a table of its own.
    """
    rows = results["rows"]
    tables = [_table_1(results, columns)] if any(row["accuracy"] for row in rows) or not _measured(rows) else []
    tables += [_measures_table(results)] if _measured(rows) else []
    sentences = _sentences(rows) if columns < WIDE_COLUMNS else []
    failed = [f"{row['label']}: {row['failed']} executions failed" for row in rows if row["failed"]]
    notes = [
        *sentences,
        *_published_notes(results),
        *failed,
        *_weight_decays(rows),
        *_not_learnt(rows),
        *_default(results),
    ]
    return Group(*tables, *(Text(line) for line in notes))


def _table_1(results: ResultsAnswer, columns: int) -> Table:
    wide = columns >= WIDE_COLUMNS
    published = any(row["published"] for row in results["rows"])
    table = _table("cell", title=_title(results))
    _number_columns(
        table, "A %", *(["paper's A %"] if published else []), "σ_A", "Pc %", "Ps %", "Pg %", "N/10,000", "n"
    )
    if wide:
        _number_columns(table, f"A − baseline [{results['confidence_level']:.0%}]", "p")
    for row in results["rows"]:
        cells = _result_cells(row)
        cells[2:2] = [_published_accuracy(row)] if published else []
        table.add_row(*cells, *(_difference_cells(row, results["baseline_cell"]) if wide else []))
    return table


def _measures_table(results: ResultsAnswer) -> Table:
    names = _measured(results["rows"])
    table = _table("cell", title=_title(results, what="mean ± standard error"))
    _number_columns(table, *(name.replace("_", " ") for name in names), "n")
    for row in results["rows"]:
        shown = [_measure(row["measures"].get(name)) for name in names]
        table.add_row(row["label"], *shown, str(row["n"]))
    return table


def _measured(rows: Sequence[ResultRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["measures"]))


def _measure(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    error = estimate["standard_error"]
    return f"{estimate['mean']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _weight_decays(rows: Sequence[ResultRow]) -> Iterator[str]:
    """Those that cross-validation has chosen."""
    for row in rows:
        if found := row.get("regularisation"):
            losses = {one["weight_decay"]: one["log_loss"] for one in found["candidates"]}
            loss = losses[found["weight_decay"]]
            told = "" if loss is None else f", log loss {loss:.3f}"
            yield (
                f"{row['label']}: weight decay {found['weight_decay']:g}, the best of {len(losses)} by cross-validation{told}"
            )


def _not_learnt(rows: Sequence[ResultRow]) -> Iterator[str]:
    """How many executions of each cell have not learnt, then each reason once, with how many it concerns and the remedy."""
    for row in rows:
        if not (concerned := row["not_learnt"]):
            continue
        verb = "has" if len(concerned) == 1 else "have"
        yield f"{row['label']}: {len(concerned)} of {row['n']} executions {verb} not learnt"
        found = [(one["execution"], finding) for one in concerned for finding in one["findings"]]
        for code in dict.fromkeys(finding["code"] for _, finding in found):
            alike = [(number, finding) for number, finding in found if finding["code"] == code]
            number, first = alike[0]
            more = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
            yield f"  execution {number}{more}: {first['detail']}. {first['remedy']}"


def _default(results: ResultsAnswer) -> Iterator[str]:
    if told := results["published"]:
        sentence = told["sentence"][:1].upper() + told["sentence"][1:]
        yield f"{sentence}. {told['remedy']}" if told["remedy"] else f"{sentence}."


def _published_accuracy(row: ResultRow) -> str:
    published = row["published"]
    if published is None or published["accuracy"] is None:
        return "–"
    return f"{100 * published['accuracy']:.2f}" + ("*" if published["note"] else "")


def _published_notes(results: ResultsAnswer) -> list[str]:
    rows = [row for row in results["rows"] if row["published"]]
    notes = [
        f"* {row['label']}: {row['published']['note']}" for row in rows if row["published"] and row["published"]["note"]
    ]
    return [*notes, results["preset"]["published_note"]] if rows and results["preset"] else notes


def decision_block(title: str, decision: DecisionAnswer) -> RenderableType:
    """One decision: what was decided, the largest probabilities as bars, the reject score and its threshold."""
    verdict = Text(f"  {_verdict(decision)}", style="bold red" if decision["rejected"] else "bold green")
    bars = Table.grid(padding=(0, 1))
    for label, probability in _shown_probabilities(decision):
        bars.add_row(f"  {label}", _bar(probability), f"{probability:6.1%}")
    lines = [f"  {_score_line(decision)}", *([f"  {decision['note']}"] if decision["note"] else [])]
    return Group(Text(title, style="bold"), verdict, bars, *(Text(line) for line in lines))


def reason_words(decision: DecisionAnswer) -> str:
    """Why an image was rejected, in plain words."""
    reason = decision["reason"] or ""
    return _REASONS.get(reason, reason)


def plan_table(plan: PlanAnswer) -> RenderableType:
    """What a dry run found."""
    table = _table(
        "cell",
        "point",
        title=f"{plan['cell_count']} cells" + (f" on {plan['dataset']['name']}" if plan["dataset"] else ""),
    )
    _number_columns(table, "noise images", "training images")
    for cell in plan["cells"]:
        table.add_row(str(cell["cell"]), cell["label"], f"{cell['noise_images']:,}", f"{cell['training_images']:,}")
    base = " (one of them the base of the subgroups)" if plan["base"] else ""
    total = f"{plan['executions']} executions{base}, {plan['training_images']:,} training images in all. Nothing was created."
    chosen = [choice["reason"]] if (choice := plan.get("choice")) else []
    warned = [f"Beware: {warning['detail']} {warning['remedy']}" for warning in plan.get("warnings", [])]
    lasts = [estimate["detail"]] if (estimate := plan.get("estimate")) else []
    room = [disk["detail"]] if (disk := plan.get("disk")) else []
    return Group(table, *(Text(line) for line in [*chosen, *warned, total, *lasts, *room]))


def presets_table(presets: Iterable[PresetAnswer]) -> RenderableType:
    """One line a preset; its cells are the same at every scale, what differs is how often and how long each is trained."""
    table = _table("preset", "title", "source")
    _number_columns(table, "cells")
    for preset in presets:
        table.add_row(preset["name"], preset["title"], preset["source"], str(preset["scales"]["paper"]["cells"]))
    return table


def datasets_table(datasets: Iterable[DatasetAnswer]) -> RenderableType:
    """One line a dataset, with the error of a failed one."""
    table = _table("id", "name", "state", "size")
    _number_columns(table, "classes", "train", "test")
    for dataset in datasets:
        error = dataset["error"]
        table.add_row(
            dataset["id"],
            dataset["name"],
            f"{dataset['state']}: {error['detail']}" if error else dataset["state"],
            f"{dataset['image_size']} px",
            _count(len(dataset["classes"]) if dataset["classes"] else None),
            _count(dataset["train_count"]),
            _count(dataset["test_count"]),
        )
    return table


def experiments_table(experiments: Iterable[ExperimentAnswer]) -> RenderableType:
    """One line an experiment."""
    table = _table("id", "name", "state", "dataset")
    _number_columns(table, "cells", "executions", "done")
    table.add_column("created")
    for experiment in experiments:
        table.add_row(
            experiment["id"],
            experiment["name"],
            experiment["state"],
            experiment["dataset"]["name"] if experiment["dataset"] else "–",
            str(len(experiment["cells"])),
            str(experiment["executions"]),
            f"{experiment['progress']:.0%}",
            experiment["created_at"][:16].replace("T", " "),
        )
    return table


def workers_table(workers: Iterable[WorkerAnswer]) -> RenderableType:
    """One row a worker."""
    table = _table("worker", "device")
    _number_columns(table, "busy", "images/s", "heartbeat")
    for worker in workers:
        age = f"{worker['heartbeat_age_seconds']:.0f} s ago"
        table.add_row(
            worker["name"],
            worker["device"],
            f"{len(worker['executions'])} of {worker['processes']}",
            _count(round(worker["images_per_second"])) if worker["images_per_second"] else "",
            age if worker["alive"] else f"{age}, lost",
        )
    return table


def models_table(models: Iterable[ModelAnswer]) -> RenderableType:
    """One line a model."""
    table = _table("id", "aliases", "experiment", "noise class")
    _number_columns(table, "classes", "holdout %", "threshold")
    for model in models:
        table.add_row(
            model["id"],
            ", ".join(model["aliases"]),
            f"{model['experiment']} cell {model['cell']}",
            "yes" if model["has_noise_class"] else "no",
            str(len(model["classes"])),
            _percent(model["holdout_accuracy"]) + _how_measured(model),
            "–" if model["default_threshold"] is None else f"{model['default_threshold']:.3f}",
        )
    return table


def _how_measured(model: ModelAnswer) -> str:
    promise = model.get("promise")
    return " cross-validated" if promise and promise.get("source") == "cross_validated" else ""


def _table(*headings: str, title: str | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _number_columns(table: Table, *headings: str) -> None:
    # Too long a name is folded before a number is cut.
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)


def _title(results: ResultsAnswer, what: str = "A ± standard error") -> str:
    experiment, dataset = results["experiment"], results["dataset"]
    where = f" on {dataset['name']}" if dataset else ""
    return f"{experiment['name'] or experiment['id']}{where} ({experiment['state']}); {what}"


def _result_cells(row: ResultRow) -> list[str]:
    return [
        row["label"],
        _with_error(row["accuracy"]),
        _deviation(row["accuracy"]),
        _mean(row["confidence"], 100),
        _mean(row["spuriousness"], 100),
        _mean(row["true_class_probability"], 100),
        _mean(row["noise_per_10000"], 1),
        str(row["n"]),
    ]


def _difference_cells(row: ResultRow, baseline: int | None) -> list[str]:
    difference = row["difference"]
    if difference is None:
        return ["baseline" if row["cell"] == baseline else "–", ""]
    shown = f"{100 * difference['accuracy']:+.2f}"
    low, high, p_value = difference["low"], difference["high"], difference["p_value"]
    if low is None or high is None or p_value is None:
        return [shown, "–"]
    return [f"{shown} [{100 * low:+.2f}, {100 * high:+.2f}]", "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"]


def _sentences(rows: Sequence[ResultRow]) -> list[str]:
    return [f"{row['label']}: {row['difference']['sentence']}" for row in rows if row["difference"]]


def _with_error(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    mean, error = f"{100 * estimate['mean']:.2f}", estimate["standard_error"]
    return mean if error is None else f"{mean} ± {100 * error:.2f}"


def _mean(estimate: Estimate | None, unit: float) -> str:
    return "–" if estimate is None else f"{unit * estimate['mean']:.1f}"


def _deviation(estimate: Estimate | None) -> str:
    return "–" if estimate is None or estimate["std"] is None else f"{100 * estimate['std']:.2f}"


def _verdict(decision: DecisionAnswer) -> str:
    if not decision["rejected"]:
        return f"accepted as {decision['label']}"
    return f"rejected: {reason_words(decision)} (nearest class {decision['known_label']})"


def _shown_probabilities(decision: DecisionAnswer) -> list[tuple[str, float]]:
    ranked = sorted(decision["probabilities"].items(), key=lambda entry: -entry[1])[:TOP_CLASSES]
    noise = decision["noise_probability"]
    return ranked if noise is None else [*ranked, ("noise", noise)]


def _bar(probability: float) -> str:
    return ("█" * round(probability * BAR_CELLS)).ljust(BAR_CELLS, "·")


def _score_line(decision: DecisionAnswer) -> str:
    if rule := decision.get("rule"):
        return ", ".join(f"{one['score']} {one['value']:.3f} (threshold {one['threshold']:.3f})" for one in rule)
    score = f"reject score {decision['reject_score']:.3f}"
    if decision["threshold"] is None:
        return score
    allowed = f"{100 * decision['max_false_reject']:.3g}%"
    return f"{score}, threshold {decision['threshold']:.3f} (rejects at most {allowed} of the known images)"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"
