"""Results of experiments that nobody ran: every preset, with the published values a little moved."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import JsonValue

from noisegate.presets import catalogue as presets
from noisegate.presets.published import PublishedValues
from noisegate.spec import ClassifierExperiment, DecisionMapExperiment, ExperimentSpec
from noisegate.spec.labels import label
from noisegate.spec.sweeps import cells_of
from noisegate.store.states import State
from service.results.figures.entry import FigureData
from service.results.schemas import ExperimentSummary, PresetRead, Provenance, Results, Row
from service.results.statistics import Summary, choose_baseline, summarise
from service.schemas import DatasetSummary

DATASET = DatasetSummary(id="ds_1", name="cifar10", content_hash="0" * 64)
# Where nothing is published.
_USUAL = {"accuracy": 0.73, "confidence": 0.83, "spuriousness": 0.59, "true_class_probability": 0.165}
_HYBRIDS = {"accepted_as_low": 0.55, "accepted_as_high": 0.12, "accepted_as_other": 0.28, "rejected": 0.05}
_AREAS = {"area_A": 0.26, "area_B": 0.24, "area_C": 0.25, "area_D": 0.25, "area_noise": 0.0}


def of_preset(name: str, *, n: int = 3, done_cells: int | None = None, state: State = State.SUCCEEDED) -> Results:
    """The results of a preset at paper scale, `n` executions in each of the first `done_cells` (null: all) cells."""
    preset = presets.get(name)
    spec = preset.spec_at("paper").model_copy(update={"executions": max(n, 1)})
    found = of_spec(spec, n=n, done_cells=done_cells, state=state, preset=name)
    read = PresetRead(name=name, scale="paper", source=preset.source, published_note=preset.published_note)
    return found.model_copy(update={"preset": read})


def of_spec(
    spec: ExperimentSpec,
    *,
    n: int = 3,
    done_cells: int | None = None,
    state: State = State.SUCCEEDED,
    preset: str | None = None,
) -> Results:
    """The results of any experiment."""
    rows = [
        _row(number, cell.point, cell.spec, n if done_cells is None or number < done_cells else 0, preset)
        for number, cell in enumerate(cells_of(spec))
    ]
    return Results(
        experiment=ExperimentSummary(id="exp_1", name=spec.name or "a sweep of my own", state=state),
        kind=spec.kind,
        preset=None,
        dataset=DATASET if isinstance(spec, ClassifierExperiment) else None,
        seed=spec.seed,
        base=None,
        published=None,
        baseline_cell=choose_baseline([row.has_noise_class for row in rows]),
        rows=rows,
    )


def details_of(results: Results) -> FigureData:
    """What the executions of a curve fitting or a decision map leave for their figures."""
    if results.kind == "curve_fitting":
        return {row.cell: [_curve(row.cell, number) for number in range(row.n)] for row in results.rows}
    if results.kind == "decision_map":
        return {row.cell: [_map(with_noise=row.has_noise_class)] * row.n for row in results.rows if row.n}
    return {}


def _row(number: int, point: dict[str, JsonValue], spec: ExperimentSpec, n: int, preset: str | None) -> Row:
    published = presets.published_for(preset, spec) if preset else None
    has_noise_class = _has_noise_class(spec)
    return Row(
        cell=number,
        point=point,
        label=label(point),
        seeds=list(range(n)),
        has_noise_class=has_noise_class,
        executions=spec.executions,
        n=n,
        failed=0,
        judged=0,
        not_learnt=[],
        **_metrics(number, n, published, has_noise_class=has_noise_class),
        holdout_accuracy=None,
        false_reject=None,
        train_seconds=None,
        difference=None,
        best_model=None,
        measures=_measures(spec, number, n),
        excluded=None,
        subgroup=None,
        regularisation=None,
        published=published,
        provenance=Provenance(precisions=[], devices=[], versions=[], images_per_second=None),
    )


def _has_noise_class(spec: ExperimentSpec) -> bool:
    if isinstance(spec, DecisionMapExperiment):
        return spec.noise_quantity > 0
    return isinstance(spec, ClassifierExperiment) and spec.has_noise_class


def _metrics(
    number: int, n: int, published: PublishedValues | None, *, has_noise_class: bool
) -> dict[str, Summary | None]:
    printed = {
        name: value for name, value in (published.model_dump() if published else {}).items() if value is not None
    }
    centres = {name: printed.get(name, usual) - 0.01 for name, usual in _USUAL.items()}
    std = printed.get("accuracy_std", 0.005)
    found = {name: _summary(centre, std, n, (number, index)) for index, (name, centre) in enumerate(centres.items())}
    count = printed.get("noise_per_10000", 0.2) if has_noise_class else 0.0
    return found | {"noise_per_10000": _summary(count * 1.2, count / 3, n, (number, 9))}


def _summary(centre: float, std: float, n: int, seed: tuple[int, ...]) -> Summary | None:
    return summarise(list((centre + std * np.random.default_rng(seed).standard_normal(n)).clip(0)))


def _measures(spec: ExperimentSpec, number: int, n: int) -> dict[str, Summary]:
    match spec.kind:
        case "curve_fitting":
            wanted: Mapping[str, float] = {"crossing": 0.5 + 0.01 * number}
        case "hybrids":
            rejected = 0.12 * number
            wanted = {name: share * (1 - rejected) for name, share in _HYBRIDS.items()}
            wanted = {**wanted, "rejected": 1 - sum(list(wanted.values())[:3])}
        case "decision_map":
            wanted = {name: share * (1 - 0.6 * number) for name, share in _AREAS.items()} | {"area_noise": 0.6 * number}
        case _:
            wanted = {}
    # Equal seeds and opposite signs: what belongs to a whole keeps its sum.
    spreads = dict(zip(wanted, itertools.cycle((0.01, -0.01)), strict=False))
    found = {name: _summary(mean, spreads[name], n, (number,)) for name, mean in wanted.items()}
    return {name: summary for name, summary in found.items() if summary}


def _curve(cell: int, number: int) -> dict[str, Any]:
    x = np.linspace(0, 1, 201)
    middle = cell == 0
    generator = np.random.default_rng([cell, number])
    steepness = 400 if middle else generator.uniform(8, 60)
    curve = 0.5 + 0.5 * np.tanh(steepness * (x - 0.5 - (0 if middle else generator.normal(0, 0.05))))
    if middle:
        curve += generator.normal(0, 2) * np.maximum(np.abs(x - 0.5) - 0.1, 0)
    ranges = [[0.4, 0.6]] if middle else [[0.0, 0.1], [0.9, 1.0]]
    return {"x": list(x), "curve": list(curve), "training_ranges": ranges}


def _map(*, with_noise: bool) -> dict[str, Any]:
    names: Sequence[str] = "ABCD"
    centres = np.array([[0.25, 0.27], [0.74, 0.3], [0.3, 0.75], [0.72, 0.7]])
    steps = np.linspace(0, 1, 101)
    places = np.stack(np.meshgrid(steps, steps), axis=-1)
    distances = np.linalg.norm(places[:, :, None] - centres, axis=-1)
    nearest = np.array(list(names))[distances.argmin(-1)]
    if with_noise:
        nearest[distances.min(-1) > 0.18] = "."
    generator = np.random.default_rng(1)
    points = [
        [*map(float, generator.normal(centre, 0.06)), name]
        for name, centre in zip(names, centres, strict=True)
        for _ in range(200)
    ]
    if with_noise:
        points += [[*map(float, generator.uniform(size=2)), "."] for _ in range(100)]
    classes = [*names, "noise"] if with_noise else list(names)
    return {"classes": classes, "regions": ["".join(line) for line in nearest], "points": points}


def standard_error(summary: Summary) -> float:
    """Of the mean, computed again."""
    assert summary.std is not None
    return summary.std / math.sqrt(summary.n)
