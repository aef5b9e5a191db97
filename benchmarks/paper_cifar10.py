"""The paper's anchors on CIFAR-10: the baseline, 5× uniform noise, and the .25 rows of Table 2 in both selections.

    python benchmarks/paper_cifar10.py --archive ../shared/cifar10.tar.xz --data-dir runs

Each cell beside what the paper prints for it. Hours on two cores; what the data directory has already is not repeated.
Keeps everything in benchmarks/results/paper_cifar10.json.
"""

import itertools
import sys
from typing import Any

from cifar10_runs import DATASET, command_of, noisegate_with_cifar10, options, run_or_resume
from record import keep
from rich.console import Console

from noisegate.api.result_answers import ResultRow, ResultsAnswer
from noisegate.presets.catalogue import published_for
from noisegate.presets.published import PublishedValues
from noisegate.spec import parse_spec

FRACTION = 0.25
UNIFORM = {"family": "uniform", "quantity": 5}
MEASURES = {
    "accuracy": "A",
    "confidence": "Pc",
    "spuriousness": "Ps",
    "true_class_probability": "Pg",
}


def main() -> int:
    parser = options(__doc__, epochs=40)
    parser.add_argument("--subgroup-epochs", type=int, default=40)
    asked = parser.parse_args()
    shared = {"dataset": DATASET, "holdout": 0, "executions": asked.executions}
    with noisegate_with_cifar10(asked) as (client, console):
        anchors = run_or_resume(
            client,
            console,
            shared
            | {
                "name": f"baseline and uniform 5x, {asked.epochs} epochs",
                "training": {"epochs": asked.epochs},
                "keep_models": "all",
                "noise": UNIFORM,
                "sweep": {"noise.quantity": [0, 5]},
            },
        )
        base = {"experiment": anchors["experiment"]["id"], "cell": 0, "execution": 0}
        subgroups = run_or_resume(
            client,
            console,
            shared
            | {
                "name": f"subgroups of {FRACTION}, {asked.subgroup_epochs} epochs",
                "training": {"epochs": asked.subgroup_epochs},
                "keep_models": "none",
                "base": base,
                "sweep": {"subgroup": _subgroups()},
            },
        )
        executions = [
            # Whose process it was says nothing to anyone elsewhere.
            {key: value for key, value in execution.document().items() if key != "worker"}
            for found in (anchors, subgroups)
            for execution in client.experiments.executions(found["experiment"]["id"])
        ]
    compared = [*_compared(anchors, "figure-11"), *_compared(subgroups, "table-2")]
    _print(console, compared)
    figures = {
        "command": command_of(asked),
        "epochs": asked.epochs,
        "subgroup_epochs": asked.subgroup_epochs,
        "executions_per_cell": asked.executions,
        "compared": compared,
        "anchors": anchors,
        "subgroups": subgroups,
        "executions": executions,
    }
    console.print(f"Kept in {keep('paper_cifar10', figures)}")
    return 0


def _subgroups() -> list[dict[str, Any]]:
    halves = itertools.product(("as_published", "definition"), ("lc", "hc"), ("ls", "hs"))
    return [
        {"correct": correct, "wrong": wrong, "fraction": FRACTION, "selection": selection}
        for selection, correct, wrong in halves
    ]


def _compared(results: ResultsAnswer, preset: str) -> list[dict[str, Any]]:
    """Measured beside published, in percent. The published rows were made as_published; `definition` is set beside them."""
    return [_comparison(row, _published(row, preset)) for row in results["rows"]]


def _published(row: ResultRow, preset: str) -> PublishedValues | None:
    point = row["point"]
    if "noise.quantity" in point:
        noise = UNIFORM if point["noise.quantity"] else None
        return published_for(preset, parse_spec({"dataset": DATASET, "noise": noise}))
    wanted = point["subgroup"] | {"selection": "as_published"}
    return published_for(preset, parse_spec({"dataset": DATASET, "subgroup": wanted}))


def _comparison(row: ResultRow, published: PublishedValues | None) -> dict[str, Any]:
    found: dict[str, Any] = {"cell": row["label"], "n": row["n"]}
    for field, name in MEASURES.items():
        summary: Any = row[field]
        found[name] = round(100 * summary["mean"], 2) if summary else None
        value = getattr(published, field) if published else None
        found[f"{name}_published"] = None if value is None else round(100 * value, 2)
    found["N"] = row["noise_per_10000"]["mean"] if row["noise_per_10000"] else None
    return found


def _print(console: Console, compared: list[dict[str, Any]]) -> None:
    for entry in compared:
        shown = ", ".join(f"{name} {entry[name]} ({entry[f'{name}_published']})" for name in MEASURES.values())
        console.print(f"{entry['cell']}: {shown}, n = {entry['n']}; in brackets the paper's, n = 50")


if __name__ == "__main__":
    sys.exit(main())
