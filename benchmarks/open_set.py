"""Open-set recognition on CIFAR-10 with six known classes: one process a split, one core each.

    python benchmarks/open_set.py --archive CIFAR10.tar.xz --runs FOLDER [--arms plain noise exposed] [--splits 5] [--epochs 12]

Splits are drawn as the preset `open-set-6-4-drawn` draws them. Arms: `plain` without a noise class, `noise` with 1× structured
noise, `exposed` with 1× images of two of the four other classes as noise, at a weight of 0.2. Whatever the arm, the unknown sets
are those two classes (`seen`, exposed in the last arm), the other two (`unseen`), and scikit-learn's digits (far). The decision
rule is chosen by training images of `seen`, as a person would declare them unknown. Test images choose nothing. Runs that have
ended are not repeated.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import keep, machine
from scipy import stats
from sklearn.datasets import load_digits
from train_parts.accuracy import read_archive

from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.open_set import RULE, UnknownImages, measure_open_set
from noisegate.evaluation.references import all_scores, make_reference
from noisegate.evaluation.rule_choice import choose_rule
from noisegate.learning.allocator import keep_freed_memory
from noisegate.learning.cells import CellData, PreparedCell, prepare_cell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.rejection import SCORES
from noisegate.rejection.fitted_rule import fit_rule
from noisegate.rejection.reference import Reference
from noisegate.spec import DrawnClasses, OpenSetExperiment

BUDGETS = (0.01, 0.05, 0.1)
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "noise": {"noise": {"family": "structured"}},
    "exposed": {"noise": {"family": "images", "dataset": "seen"}, "noise_weight": 0.2},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--runs", type=Path, default=Path("noisegate-runs"), help="where runs are kept")
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    jobs = [
        (asked.archive, asked.runs, arm, split, asked.epochs) for split in range(asked.splits) for arm in asked.arms
    ]
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_run, *zip(*jobs, strict=True)))
    tables = {arm: found for arm in asked.arms if (found := _table(asked.runs, arm, asked.epochs))}
    for arm, table in tables.items():
        print(_words(arm, table))
    print(f"Kept in {keep('open_set', {'epochs': asked.epochs, 'arms': tables})}")


def _run(archive: Path, runs: Path, arm: str, split: int, epochs: int) -> None:
    result = runs / f"open-set-{arm}-{split}-{epochs}.json"
    if result.exists():
        return
    torch.set_num_threads(1)
    keep_freed_memory()
    whole = _cifar10(archive)
    known = DrawnClasses(count=6, splits=split + 1, split=split).of(_CLASSES)
    others = [name for name in _CLASSES if name not in known]
    seen = whole.only(others[:2])
    training = {"recipe": "one_cycle", "epochs": epochs, "shift_rate": 64}
    document = {"dataset": "cifar10", "known": known, "network": "compact", "training": training, **ARMS[arm]}
    spec = OpenSetExperiment.model_validate({"kind": "open_set", **document})
    data = whole.only(known)
    exposed = replace(seen, train_images=seen.train_images[seen.train_rows], train_rows=None)
    cell = prepare_cell(spec, data, 0, others={"noise.dataset": exposed})
    started = time.process_time()
    rounds = run_executions(cell, [split], between_batches=lambda: None, on_epoch=lambda _: None)
    ((outcome,),) = list(rounds)
    assert isinstance(outcome, ExecutionOutcome)
    seconds = time.process_time() - started
    found = _measure(
        cell, outcome, exposed, [("seen", seen), ("unseen", whole.only(others[2:])), ("digits", _digits())]
    )
    document = {"arm": arm, "split": split, "known": known, "core_minutes": seconds / 60, "machine": machine(), **found}
    result.write_text(json.dumps(document, indent=2) + "\n")


def _measure(
    cell: PreparedCell, outcome: ExecutionOutcome, declared: CellData, sets: list[tuple[str, CellData]]
) -> dict[str, Any]:
    """What each score makes of each set, the rule that declared images choose among them."""
    reference = make_reference(cell, outcome)
    assert reference is not None
    assert reference.held is not None
    answers = Answers(*answer(outcome.trained, declared.train_images))
    said = all_scores(answers, len(cell.classes), {name: reference.fitted_of(name) for name in SCORES})
    choice = choose_rule(reference.held, [said])
    unknown = [
        UnknownImages(name, "near", data.test_images, np.arange(len(data.test_labels)), ["?"] * len(data.test_labels))
        for name, data in sets
    ]
    places = np.arange(len(cell.test_labels))
    rule = DecisionRule.of(*choice.scores)
    measured = measure_open_set(cell, outcome, unknown, [], places, reference, rule).open_set
    assert measured is not None
    return {
        "accuracy": outcome.metrics.accuracy,
        "test_images": len(cell.test_labels),
        "budgets": _budgets(cell, outcome, reference, {RULE: rule}),
        "rule": choice.scores,
        "false_reject": {name: one.false_reject for name, one in measured.selection.items()},
        "sets": {
            one.name: {
                name: {"auroc": score.auroc, "oscr": score.oscr, "rejected": score.rejected}
                for name, score in one.scores.items()
            }
            for one in measured.unknown
        },
    }


def _budgets(
    cell: PreparedCell, outcome: ExecutionOutcome, reference: Reference, rules: dict[str, DecisionRule]
) -> dict[str, dict[str, float]]:
    """The share of known test images that each rule of one score, and these, reject; by rule and budget."""
    known = len(cell.classes)
    said = all_scores(outcome.test_answers, known, {name: reference.fitted_of(name) for name in SCORES})
    of_one = {name: DecisionRule.of(name) for name in said.unknownness}
    pairs = {f"{name} + {REJECT_SCORE}": DecisionRule.of(name, REJECT_SCORE) for name in SCORES}
    fitted = {name: fit_rule(rule, reference) for name, rule in (of_one | pairs | rules).items()}
    return {
        name: {str(budget): float(one.rejects(said, one.promised(budget)).mean()) for budget in BUDGETS}
        for name, one in fitted.items()
    }


def _cifar10(archive: Path) -> CellData:
    (images, labels), (test_images, test_labels) = read_archive(archive)
    return CellData(_CLASSES, images, labels, test_images, test_labels, dataset_hash="cifar10")


def _digits() -> CellData:
    gray = np.repeat(np.repeat(load_digits().images, 4, axis=1), 4, axis=2) * (255 / 16)
    images = np.repeat(gray.astype(np.uint8)[..., None], 3, axis=3)
    labels = np.zeros(len(images), dtype=np.int64)
    return CellData(("digits", "none"), images[:0], labels[:0], images, labels, dataset_hash="digits")


def _table(runs: Path, arm: str, epochs: int) -> dict[str, Any]:
    """Means over splits, with standard errors."""
    found = [json.loads(file.read_text()) for file in sorted(runs.glob(f"open-set-{arm}-*-{epochs}.json"))]
    if not found:
        return {}
    scores = list(found[0]["sets"]["seen"])
    return {
        "n": len(found),
        "accuracy": _mean([one["accuracy"] for one in found]),
        "core_minutes": _mean([one["core_minutes"] for one in found]),
        "rules": [one["rule"] for one in found],
        "false_reject": {name: _mean([one["false_reject"][name] for one in found]) for name in scores},
        "sets": {
            name: {
                score: {
                    key: _mean([one["sets"][name][score][key] for one in found])
                    for key in ("auroc", "oscr", "rejected")
                }
                for score in scores
            }
            for name in found[0]["sets"]
        },
        "budgets": {
            rule: {str(budget): _mean([one["budgets"][rule][str(budget)] for one in found]) for budget in BUDGETS}
            for rule in found[0]["budgets"]
        },
        "runs": found,
    }


def _mean(values: list[float]) -> dict[str, float | None]:
    return {"mean": float(np.mean(values)), "standard_error": float(stats.sem(values)) if len(values) > 1 else None}


def _words(arm: str, table: dict[str, Any]) -> str:
    minutes = table["core_minutes"]["mean"]
    lines = [
        f"{arm}: accuracy {_percent(table['accuracy'])} %, n = {table['n']} splits, {minutes:.0f} core-minutes each"
    ]
    for name, scores in table["sets"].items():
        ranked = sorted(scores, key=lambda score: -scores[score]["auroc"]["mean"])
        shown = [*ranked[:3], *(one for one in (RULE, REJECT_SCORE, "msp") if one not in ranked[:3])]
        told = {one: {key: _percent(value) for key, value in scores[one].items()} for one in shown}
        parts = [f"{one} {of['auroc']} (OSCR {of['oscr']}, rejects {of['rejected']})" for one, of in told.items()]
        lines.append(f"  {name}: " + "; ".join(parts))
    lines.append(
        "  known rejected: " + ", ".join(f"{name} {_percent(one)}" for name, one in table["false_reject"].items())
    )
    for name, shares in table["budgets"].items():
        spent = ", ".join(f"{100 * float(budget):g} %: {_percent(share)}" for budget, share in shares.items())
        lines.append(f"  by {name}: {spent}")
    return "\n".join(lines)


def _percent(value: dict[str, float | None]) -> str:
    error = value["standard_error"]
    return f"{100 * (value['mean'] or 0):.1f}" + ("" if error is None else f" ± {100 * error:.1f}")


if __name__ == "__main__":
    main()
