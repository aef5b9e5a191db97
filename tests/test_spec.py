"""The spec: what it refuses, how a sweep becomes cells, and that one type survives every journey."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.errors import InvalidSpec
from noisegate.spec import Caps, ExperimentSpec, check_caps, check_training_bytes, parse_spec

NOISE = {"family": "uniform"}


def _fields(document: dict[str, Any]) -> dict[str, str | None]:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"dataset": "d", **document}).cells()
    return {error.field: error.remedy for error in caught.value.errors}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"unknown": 1}, "unknown"),
        ({"noise": {"family": "uniform", "quantity": -1}}, "noise.quantity"),
        ({"noise": {"family": "uniform", "low": 9, "high": 3}}, "noise"),
        ({"noise": {"family": "plaid"}}, "noise"),
        ({"noise": {"family": "gaussian", "filter": {"kind": "mean", "size": 4}}}, "noise.filter.size"),
        ({"noise": {"family": "gaussian", "mean": float("nan")}}, "noise.mean"),
        ({"holdout": 1}, "holdout"),
        ({"holdout": -0.1}, "holdout"),
        ({"training": {"epochs": 0}}, "training.epochs"),
        ({"training": {"learning_rate_drop": {"factor": 2}}}, "training.learning_rate_drop.factor"),
        ({"executions": 0}, "executions"),
        ({"seed": -1}, "seed"),
        ({"network": "resnet"}, "network"),
        ({"sweep": {"holdout": []}}, "sweep.holdout"),
        ({"sweep": {"holdout": [0.1, 0.1]}}, "sweep.holdout"),
        ({"sweep": {"seed": [1, 2]}}, "sweep.seed"),
        ({"sweep": {"nothing.there": [1]}}, "sweep.nothing.there"),
        ({"sweep": {"noise.quantity": [1]}}, "sweep.noise.quantity"),
        ({"noise": NOISE, "sweep": {"noise.quantity": [1, -1]}}, "sweep.noise.quantity"),
        ({"noise": NOISE, "sweep": {"noise": [None], "noise.quantity": [1]}}, "sweep.noise.quantity"),
        ({"noise": NOISE, "sweep": {"noise.loudness": [1]}}, "sweep.noise.loudness"),
    ],
)
def test_each_wrong_field_is_named(document: dict[str, Any], field: str) -> None:
    assert field in _fields(document)


def test_missing_fields_and_non_objects_are_named() -> None:
    documents: list[object] = [{}, [], None, "text", 3]
    for document in documents:
        with pytest.raises(InvalidSpec) as caught:
            parse_spec(document)
        assert caught.value.errors


def test_cells_are_the_product_in_the_order_written() -> None:
    spec = parse_spec({"dataset": "d", "noise": NOISE, "sweep": {"noise.quantity": [0, 5], "holdout": [0, 0.1]}})
    points = [(cell.point["noise.quantity"], cell.point["holdout"]) for cell in spec.cells()]
    assert points == [(0, 0), (0, 0.1), (5, 0), (5, 0.1)]
    assert [cell.spec.has_noise_class for cell in spec.cells()] == [False, False, True, True]
    assert all(not cell.spec.sweep for cell in spec.cells())
    assert spec.count_cells() == 4


def test_without_a_sweep_there_is_one_cell() -> None:
    spec = parse_spec({"dataset": "d"})
    assert [(cell.point, cell.spec) for cell in spec.cells()] == [({}, spec)]


def test_sub_objects_can_be_swept() -> None:
    families = [None, NOISE, {"family": "gaussian", "std": 10}]
    cells = parse_spec({"dataset": "d", "sweep": {"noise": families}}).cells()
    assert [cell.spec.noise and cell.spec.noise.family for cell in cells] == [None, "uniform", "gaussian"]


def test_a_spec_does_not_change_when_it_is_resolved() -> None:
    spec = parse_spec({"dataset": "d", "noise": NOISE, "sweep": {"noise.quantity": [1, 2]}})
    before = spec.model_dump_json()
    spec.cells()
    assert spec.model_dump_json() == before


@given(quantity=st.floats(0, 1000), seed=st.integers(0, 2**63 - 1), epochs=st.integers(1, 10**6))
def test_a_spec_survives_json(quantity: float, seed: int, epochs: int) -> None:
    spec = parse_spec(
        {"dataset": "d", "seed": seed, "training": {"epochs": epochs}, "noise": NOISE | {"quantity": quantity}}
    )
    assert ExperimentSpec.model_validate_json(spec.model_dump_json()) == spec


def test_astronomical_sweeps_are_counted_not_built() -> None:
    values: list[Any] = [number / 1000 for number in range(1000)]
    spec = parse_spec({"dataset": "d", "sweep": {f"training.{name}": values for name in ("momentum", "weight_decay")}})
    with pytest.raises(InvalidSpec, match="1000000 cells"):
        check_caps(spec, Caps())


def test_noise_images_are_counted_in_mean_class_sizes() -> None:
    spec = parse_spec({"dataset": "d", "noise": NOISE | {"quantity": 5}})
    assert spec.count_noise_images(5000.0) == 25_000
    assert parse_spec({"dataset": "d"}).count_noise_images(5000.0) == 0
    with pytest.raises(InvalidSpec, match="without any noise"):
        check_training_bytes(spec, Caps(training_bytes=10**6), training_images=50_000, mean_class_size=5000.0)
    with pytest.raises(InvalidSpec, match="training images"):
        check_training_bytes(spec, Caps(training_bytes=160_000_000), training_images=50_000, mean_class_size=5000.0)
