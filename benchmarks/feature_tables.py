"""Tables 2 and 3 of the paper with a linear layer on a backbone's features: the presets table-2-features and table-3-features.

    python benchmarks/feature_tables.py --archive flowers.tar --name flowers --data-dir runs [--train 300] [--test 400]

--train and --test images of each class are drawn at random; of an archive with train/ and test/ each from its own part. What the
data directory has already is not repeated. The figures that the service draws go to docs/figures.

Executions of a cell have seeds of their own, so two cells of a table are compared by Welch's test. The same cell of the two tables
has the same seeds: there the difference is tested in pairs. Both speak of executions on these images. How far other test images
could move an accuracy is a standard error of its own, the binomial one, which stands beside them.
"""

import argparse
import contextlib
import io
import itertools
import math
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2
import numpy as np
from cifar10_runs import run_or_resume
from record import RESULTS, keep
from rich.console import Console
from scipy.stats import ttest_ind, ttest_rel

from noisegate.api.answers import ExecutionAnswer
from noisegate.api.result_answers import ResultRow
from noisegate.client import Noisegate
from noisegate.client.show import console_for
from noisegate.local import running as local

PRESETS = ("table-2-features", "table-3-features")
FRACTIONS = (0.25, 0.5, 0.75, 0.8)
_PAIRS = (("hc hs", "hc ls"), ("lc hs", "lc ls"), ("hc ls", "lc ls"), ("hc hs", "lc hs"))
_FIGURES = RESULTS.parent.parent / "docs" / "figures"
_MEASURES = ("accuracy", "confidence", "spuriousness", "true_class_probability", "noise_per_10000")

# By cell: of each execution, in the order of their numbers.
Accuracies = dict[str, list[float]]
Compared = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--archive", type=Path, required=True, help="tar of <class>/*, or of train/<class>/*, test/<class>/*"
    )
    parser.add_argument("--name", required=True, help="of the dataset, and of what is kept of it")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="kept: what an earlier run finished is not repeated"
    )
    parser.add_argument("--train", type=int, default=200, help="images a class")
    parser.add_argument("--test", type=int, default=400, help="images a class")
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--executions", type=int, default=50)
    parser.add_argument("--workers", type=int, help="training processes; one a core by default")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--base-epochs", type=int, help="of a base of its own; without it, the preset's, of all epochs")
    parser.add_argument("--url", help="a running Noisegate; without it, one is started on the data directory")
    asked = parser.parse_args()
    console = console_for()
    with contextlib.ExitStack() as stack:
        url = asked.url or stack.enter_context(local.running(asked.data_dir, 0, asked.workers, isolated=True)).url
        client = stack.enter_context(Noisegate(url))
        images = _ensure_dataset(client, asked)
        base = _base(client, console, asked) if asked.base_epochs else {}
        tables = {preset: _table(client, console, asked, preset, url, base) for preset in asked.presets}
    found = {preset: table["executions"] for preset, table in tables.items()}
    figures: dict[str, Any] = {
        key: getattr(asked, key) for key in ("train", "test", "size", "executions", "base_epochs")
    }
    figures |= {"images": images, "tables": {preset: table["results"] for preset, table in tables.items()}}
    figures |= {"scatter": {preset: _scatter(one, images["test"]) for preset, one in found.items()}}
    figures |= {"within": {preset: _within(one) for preset, one in found.items()}}
    figures |= {"noise": _between(*found.values()) if len(found) == len(PRESETS) else []}
    for name, lines in (*figures["within"].items(), ("with noise, less without; same seeds", figures["noise"])):
        console.print(name, *(f"  {_words(line)}" for line in lines), sep="\n")
    console.print(figures["scatter"])
    console.print(f"Kept in {keep(f'feature_tables_{_kept(asked)}', figures)}")


def _kept(asked: argparse.Namespace) -> str:
    return f"{asked.name}_base_of_{asked.base_epochs}" if asked.base_epochs else str(asked.name)


def _base(client: Noisegate, console: Console, asked: argparse.Namespace) -> dict[str, Any]:
    """A base that was trained for a few epochs, so that it misclassifies more of the training images."""
    spec = {
        "name": f"base of {asked.name}, {asked.base_epochs} epochs",
        "dataset": asked.name,
        "network": {"backbone": "tf_efficientnet_lite0"},
        "image_size": asked.size,
        "training": {"recipe": "linear", "epochs": asked.base_epochs},
        "holdout": 0,
        "executions": 1,
        "keep_models": "all",
    }
    results = run_or_resume(client, console, spec)
    return {"base": {"experiment": results["experiment"]["id"]}}


def _words(line: Compared) -> str:
    return f"{line['cells']}: {line['points']:+.2f} ± {line['error']:.2f} points, p = {line['p_value']:.2g}"


def _table(
    client: Noisegate, console: Console, asked: argparse.Namespace, preset: str, url: str, base: dict[str, Any]
) -> dict[str, Any]:
    """Rows of the results, and each cell's accuracies in the order of its seeds; the figure is kept."""
    spec = {
        "preset": preset,
        "scale": "paper",
        "name": f"{preset} of {_kept(asked)}",
        "dataset": asked.name,
        "image_size": asked.size,
        "executions": asked.executions,
        **base,
    }
    results = run_or_resume(client, console, spec)
    id = results["experiment"]["id"]
    with httpx2.Client(trust_env=False, timeout=60) as http:
        drawn = http.get(f"{url}/results/{id}/figures/{preset}.svg").raise_for_status()
    _FIGURES.mkdir(exist_ok=True)
    (_FIGURES / f"{preset}-{_kept(asked).replace('_', '-')}.svg").write_bytes(drawn.content)
    return {
        "results": {
            "base": results["base"] and results["base"]["scored"],
            "rows": [_row(row) for row in results["rows"]],
        },
        "executions": _accuracies(list(client.experiments.executions(id)), results["rows"]),
    }


def _row(row: ResultRow) -> dict[str, Any]:
    regularisation, subgroup = row.get("regularisation"), row["subgroup"]
    measures = {name: row[name] for name in _MEASURES}
    return {
        "cell": row["label"],
        "n": row["n"],
        "images": subgroup["size"] if subgroup else None,
        "weight_decay": regularisation["weight_decay"] if regularisation else None,
        "seconds": row["train_seconds"],
        **measures,
    }


def _accuracies(executions: list[ExecutionAnswer], rows: list[ResultRow]) -> Accuracies:
    """In the order of the seeds' numbers, by what `_named` makes of a cell."""
    names = {row["cell"]: _named(row["point"]) for row in rows}
    found: dict[str, list[float]] = defaultdict(list)
    for one in sorted(executions, key=lambda one: (one["cell"], one["execution"])):
        if one["cell"] in names and one["metrics"] and (accuracy := one["metrics"]["accuracy"]) is not None:
            found[names[one["cell"]]].append(accuracy)
    return found


def _named(point: Any) -> str:
    subgroup = point["subgroup"]
    return f"{subgroup['correct']} {subgroup['wrong']} {subgroup['fraction']:g}" if subgroup else "all"


def _within(found: Accuracies) -> list[Compared]:
    """What it makes for a subgroup which confident and which spurious images it has, at each fraction."""
    return [
        _compared(
            f"{one} - {other} {fraction:g}", found[f"{one} {fraction:g}"], found[f"{other} {fraction:g}"], paired=False
        )
        for fraction, (one, other) in itertools.product(FRACTIONS, _PAIRS)
    ]


def _between(without: Accuracies, with_noise: Accuracies) -> list[Compared]:
    """What the noise class does to each cell."""
    return [_compared(name, with_noise[name], values, paired=True) for name, values in without.items()]


def _compared(name: str, ours: Sequence[float], theirs: Sequence[float], *, paired: bool) -> Compared:
    """The difference in points with its standard error, and the p-value of the paired test or of Welch's."""
    one, other = np.array(ours), np.array(theirs)
    squared = np.var(one - other, ddof=1) if paired else np.var(one, ddof=1) + np.var(other, ddof=1)
    test = ttest_rel(one, other) if paired else ttest_ind(one, other, equal_var=False)
    error = 100 * math.sqrt(squared / len(one))
    points, p = 100 * float(one.mean() - other.mean()), float(test.pvalue)
    return {"cells": name, "points": round(points, 3), "error": round(error, 3), "p_value": p, "n": len(one)}


def _scatter(found: Accuracies, test_images: int) -> dict[str, float]:
    """In points: how far seeds spread in the mean of the cells, and how far other test images could move the first cell."""
    accuracy = float(np.mean(found["all"]))
    error = math.sqrt(accuracy * (1 - accuracy) / test_images)
    spread = float(np.mean([np.std(values, ddof=1) for values in found.values()]))
    return {"spread_over_seeds": round(100 * spread, 3), "error_of_test_images": round(100 * error, 3)}


def _ensure_dataset(client: Noisegate, asked: argparse.Namespace) -> dict[str, int]:
    """How many images it has to train on and to test on; uploaded unless it is there."""
    if all(dataset["name"] != asked.name for dataset in client.datasets.list()):
        asked.data_dir.mkdir(parents=True, exist_ok=True)
        drawn = asked.data_dir / f"{asked.name}.tar"
        _draw(asked.archive, drawn, asked.train, asked.test)
        sent = client.datasets.upload(drawn, name=asked.name, image_size=asked.size)
        assert client.datasets.wait(sent["id"])["state"] == "ready"
    found = client.datasets.get(asked.name)
    return {"train": found["train_count"] or 0, "test": found["test_count"] or 0}


def _draw(archive: Path, drawn: Path, train: int, test: int) -> None:
    """A part of the archive as a tar of train/<class>/* and test/<class>/*."""
    with tarfile.open(archive) as opened:
        files = {
            PurePosixPath(member.name): content.read()
            for member in opened
            if member.isfile() and (content := opened.extractfile(member))
        }
    with tarfile.open(drawn, "w") as written:
        for place, kept in _chosen(files, train, test):
            entry = tarfile.TarInfo(place)
            entry.size = len(kept)
            written.addfile(entry, fileobj=io.BytesIO(kept))


def _chosen(files: dict[PurePosixPath, bytes], train: int, test: int) -> list[tuple[str, bytes]]:
    generator, chosen = np.random.default_rng(0), []
    pools: dict[tuple[str, ...], list[PurePosixPath]] = defaultdict(list)
    for path in sorted(files):
        pools[path.parts[:-1]].append(path)
    for folder, pool in pools.items():
        drawn = [pool[place] for place in generator.permutation(len(pool))]
        parts = {"train": drawn[:train], "test": drawn[train : train + test]}
        if len(folder) > 1:  # the archive says itself what is for testing
            parts = {folder[0]: drawn[: {"train": train, "test": test}[folder[0]]]}
        chosen += [(f"{part}/{folder[-1]}/{path.name}", files[path]) for part, paths in parts.items() for path in paths]
    return chosen


if __name__ == "__main__":
    main()
