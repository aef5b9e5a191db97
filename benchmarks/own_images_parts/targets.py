"""What the figures were to reach, of those parts that have been measured."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Target = dict[str, Any]


def targets_of(figures: Mapping[str, Any]) -> list[Target]:
    """Each with the figure that was found and whether that reaches it."""
    return [
        *_of_installation(figures, "few", 180),
        *_of_installation(figures, "all", 720),
        *_of_linear(figures),
        *_of_fine_tune(figures),
    ]


def print_targets(targets: list[Target]) -> None:
    for one in targets:
        print(f"{'reached' if one['reached'] else 'MISSED ':8} {one['target']}: {one['found']:.4g}")


def accuracy_of(part: Mapping[str, Any]) -> float:
    """Mean over seeds."""
    return float(np.mean([run["accuracy"] for run in part["runs"]]))


def seconds_of(part: Mapping[str, Any]) -> float:
    """Core-seconds from files to one trained model, mean over seeds."""
    return float(part["preparing_core_seconds"] + np.mean([run["core_seconds"] for run in part["runs"]]))


def _target(words: str, found: float, *, least: float = -np.inf, most: float = np.inf) -> Target:
    return {"target": words, "found": found, "reached": bool(least <= found <= most)}


def _of_installation(figures: Mapping[str, Any], part: str, most_seconds: int) -> Iterator[Target]:
    if part not in figures:
        return
    found = figures[part]
    yield _target(f"{part}: upload to served model, at most {most_seconds} s", found["seconds"], most=most_seconds)
    behind = 100 * (found["accuracy"] - found["scikit_learn"]["accuracy"])
    yield _target(f"{part}: points above scikit-learn, at least -1", behind, least=-1)
    if "repeated" in found:
        for which, repeated in found["repeated"].items():
            words = f"{part}: 50 executions more ({which}), at most 120 s"
            yield _target(words, repeated["seconds"], most=120)


def _of_linear(figures: Mapping[str, Any]) -> Iterator[Target]:
    if "linear" not in figures:
        return
    linear = figures["linear"]
    behind = 100 * (accuracy_of(linear) - linear["scikit_learn"]["accuracy"])
    yield _target("linear: points above scikit-learn, at least -1", behind, least=-1)
    if "textbook" in figures:
        times = figures["textbook"]["core_seconds"] / seconds_of(linear)
        yield _target("linear: times sooner than the textbook, core-seconds of both, at least 15", times, least=15)
    if "textbook_time" in figures:
        times = figures["textbook_time"]["all_seconds"] / seconds_of(linear)
        yield _target("linear on one core: times sooner than the textbook on all, at least 15", times, least=15)


def _of_fine_tune(figures: Mapping[str, Any]) -> Iterator[Target]:
    if "fine_tune" not in figures or "textbook" not in figures:
        return
    tuned, textbook = figures["fine_tune"], figures["textbook"]
    above = 100 * (accuracy_of(tuned) - accuracy_of(textbook))
    yield _target("fine_tune: points above the textbook, at least 0", above, least=0)
    share = seconds_of(tuned) / textbook["core_seconds"]
    yield _target("fine_tune: share of the textbook's core-seconds, at most 0.7", share, most=0.7)
