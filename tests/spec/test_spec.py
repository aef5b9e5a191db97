"""The spec: what it refuses, how a sweep becomes cells, and that one type survives every journey."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.errors import InvalidSpec
from noisegate.spec import FORMAT, KINDS, DatasetFacts, TrainingExperiment, parse_spec
from noisegate.spec.caps import Caps, check_caps
from noisegate.spec.derived import Fitting, Needed, View
from noisegate.spec.sweeps import CellPoint, cells_of, value_at

NOISE = {"family": "uniform"}
CIFAR10 = DatasetFacts("cifar10", 32, tuple("0123456789"), 50_000, {})


def _training(document: dict[str, Any]) -> TrainingExperiment:
    spec = parse_spec({"dataset": "d", **document})
    assert isinstance(spec, TrainingExperiment)
    return spec


def _fields(document: dict[str, Any]) -> dict[str, str | None]:
    with pytest.raises(InvalidSpec) as caught:
        cells_of(parse_spec({"dataset": "d", **document}))
    return {error.field: error.remedy for error in caught.value.errors}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"unknown": 1}, "unknown"),
        ({"noise": {"family": "uniform", "quantity": -1}}, "noise.quantity"),
        ({"noise": {"family": "uniform", "low": 9, "high": 3}}, "noise"),
        ({"noise": {"family": "plaid"}}, "noise.family"),
        ({"noise": [NOISE, {"family": "plaid"}]}, "noise.1.family"),
        ({"noise": {"std": 3}}, "noise.family"),
        ({"noise": {"family": "gaussian", "filter": {"kind": "mean", "size": 4}}}, "noise.filter.size"),
        ({"noise": {"family": "gaussian", "mean": float("nan")}}, "noise.mean"),
        ({"noise": {"family": "gaussian", "std": -1}}, "noise.std"),
        ({"noise": []}, "noise"),
        ({"noise": [NOISE, {"family": "uniform", "high": 300}]}, "noise.1.high"),
        ({"noise": {"family": "mixture", "means": [1], "stds": [1], "filter_sizes": [2]}}, "noise.filter_sizes.0"),
        ({"noise": {"family": "structured", "kinds": ["solid", "solid"]}}, "noise"),
        ({"subgroup": {"correct": "hs", "wrong": "hs", "fraction": 0.5}}, "subgroup.correct"),
        ({"subgroup": {"correct": "hc", "wrong": "hs", "fraction": 0}}, "subgroup.fraction"),
        ({"subgroup": {"correct": "hc", "wrong": "hs", "fraction": 1.1}}, "subgroup.fraction"),
        ({"sweep": {"base": [None]}}, "sweep.base"),
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


def _cell(cell: CellPoint) -> TrainingExperiment:
    assert isinstance(cell.spec, TrainingExperiment)
    return cell.spec


@pytest.mark.parametrize("value", [True, "5", 5.0])
def test_a_number_is_a_number(value: object) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"dataset": "digits", "training": {"epochs": value}})
    assert [error.field for error in caught.value.errors] == ["training.epochs"]


def test_missing_fields_and_non_objects_are_named() -> None:
    documents: list[object] = [{}, [], None, "text", 3]
    for document in documents:
        with pytest.raises(InvalidSpec) as caught:
            parse_spec(document)
        assert caught.value.errors


def test_cells_are_the_product_in_the_order_written() -> None:
    spec = parse_spec({"dataset": "d", "noise": NOISE, "sweep": {"noise.quantity": [0, 5], "holdout": [0, 0.1]}})
    points = [(cell.point["noise.quantity"], cell.point["holdout"]) for cell in cells_of(spec)]
    assert points == [(0, 0), (0, 0.1), (5, 0), (5, 0.1)]
    assert [_cell(cell).has_noise_class for cell in cells_of(spec)] == [False, False, True, True]
    assert all(not cell.spec.sweep for cell in cells_of(spec))
    assert spec.count_cells() == 4


def test_without_a_sweep_there_is_one_cell() -> None:
    spec = parse_spec({"dataset": "d"})
    assert [(cell.point, cell.spec) for cell in cells_of(spec)] == [({}, spec)]


def test_sub_objects_can_be_swept() -> None:
    families = [None, NOISE, {"family": "gaussian", "std": 10}]
    cells = cells_of(parse_spec({"dataset": "d", "sweep": {"noise": families}}))
    assert [[noise.family for noise in _cell(cell).noises] for cell in cells] == [[], ["uniform"], ["gaussian"]]


def test_a_swept_family_brings_its_own_defaults() -> None:
    noise = {"family": "uniform", "quantity": 2}
    uniform, gaussian = cells_of(_training({"noise": noise, "sweep": {"noise.family": ["uniform", "gaussian"]}}))
    (found,) = _cell(gaussian).noises
    assert found.model_dump() == {"family": "gaussian", "mean": 127, "std": 70, "quantity": 2, "filter": None}
    assert _cell(uniform).noises[0].family == "uniform"
    several = {"noise": [NOISE, {"family": "solid"}], "sweep": {"noise.1.family": ["gray", "solid"]}}
    assert [[one.family for one in _cell(cell).noises] for cell in cells_of(_training(several))] == [
        ["uniform", "gray"],
        ["uniform", "solid"],
    ]


def test_a_swept_recipe_brings_its_own_defaults_and_keeps_what_was_written() -> None:
    sweep = {"training.recipe": ["paper", "one_cycle"], "training.weight_decay": [0.01]}
    for written, epochs in (({}, [40, 16]), ({"training": {"epochs": 7}}, [7, 7])):
        cells = [_cell(cell) for cell in cells_of(_training({**written, "sweep": sweep}))]
        assert [cell.training.recipe for cell in cells] == ["paper", "one_cycle"]
        assert [cell.training.epochs for cell in cells] == epochs
        assert {cell.training.model_dump()["weight_decay"] for cell in cells} == {0.01}


def test_a_swept_network_brings_the_recipe_and_the_size_that_go_with_it() -> None:
    networks = ["paper", {"backbone": "tf_efficientnet_lite0"}]
    ours, theirs = (_cell(cell) for cell in cells_of(_training({"sweep": {"network": networks}})))
    assert (ours.training.recipe, ours.image_size) == ("paper", 32)
    assert (theirs.training.recipe, theirs.image_size) == ("linear", 224)
    swept = _training({"holdout": 0.2, "sweep": {"calibration": ["holdout", "cross_validated"]}})
    assert [_cell(cell).holdout for cell in cells_of(swept)] == [0.2, 0.2]


def test_what_was_written_for_another_family_is_refused_with_the_way_to_say_it() -> None:
    noise = {"family": "uniform", "low": 3}
    with pytest.raises(InvalidSpec) as caught:
        cells_of(_training({"noise": noise, "sweep": {"noise.family": ["uniform", "gaussian"]}}))
    (error,) = caught.value.errors
    assert error.field == "sweep.noise.low"
    assert "sweep noise itself" in (error.remedy or "")


def test_an_entry_of_a_list_can_be_swept() -> None:
    document = {"noise": [NOISE, {"family": "solid"}], "sweep": {"noise.1.quantity": [1, 0]}}
    cells = [_cell(cell) for cell in cells_of(_training(document))]
    assert [[noise.family for noise in cell.noises] for cell in cells] == [["uniform", "solid"], ["uniform"]]
    assert [cell.count_noise_images(10.0) for cell in cells] == [20, 10]


def test_the_value_at_a_path_is_found_wherever_it_lies() -> None:
    document = {"noise": [{"family": "solid"}], "training": {"epochs": 3}, "subgroup": None}
    assert value_at(document, "training.epochs") == 3
    assert value_at(document, "noise.0.family") == "solid"
    assert [value_at(document, path) for path in ("noise.1.family", "subgroup.correct", "nowhere.at.all")] == [None] * 3


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"dataset": "d"}, "training"),
        ({"kind": "training", "dataset": "d"}, "training"),
        ({"kind": "hybrids", "dataset": "d"}, "hybrids"),
        ({"kind": "curve_fitting"}, "curve_fitting"),
        ({"kind": "decision_map"}, "decision_map"),
        ({"kind": "pretrained"}, "pretrained"),
    ],
)
def test_the_kind_decides_what_else_there_is(document: dict[str, Any], kind: str) -> None:
    spec = parse_spec(document)
    assert spec.kind == kind
    assert parse_spec(json.loads(spec.model_dump_json())) == spec
    assert [cell.spec for cell in cells_of(spec)] == [spec]


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"kind": "curve_fiting"})
    (error,) = caught.value.errors
    assert (error.field, error.message) == ("kind", "there is no 'curve_fiting'")
    assert error.remedy == f"Did you mean curve_fitting? There are: {', '.join(KINDS)}."


def test_a_standard_deviation_of_0_is_allowed() -> None:
    (noise,) = _training({"noise": {"family": "gaussian", "std": 0}}).noises
    assert noise.family == "gaussian"


def test_a_spec_does_not_change_when_it_is_resolved() -> None:
    spec = parse_spec({"dataset": "d", "noise": NOISE, "sweep": {"noise.quantity": [1, 2]}})
    before = spec.model_dump_json()
    cells_of(spec)
    assert spec.model_dump_json() == before


@given(quantity=st.floats(0, 1000), seed=st.integers(0, 2**63 - 1), epochs=st.integers(1, 10**6))
def test_a_spec_survives_json(quantity: float, seed: int, epochs: int) -> None:
    spec = parse_spec(
        {"dataset": "d", "seed": seed, "training": {"epochs": epochs}, "noise": NOISE | {"quantity": quantity}}
    )
    assert parse_spec(json.loads(spec.model_dump_json())) == spec


def test_astronomical_sweeps_are_counted_not_built() -> None:
    values: list[Any] = [number / 1000 for number in range(1000)]
    spec = parse_spec({"dataset": "d", "sweep": {f"training.{name}": values for name in ("momentum", "weight_decay")}})
    with pytest.raises(InvalidSpec, match="1000000 cells"):
        check_caps(spec, Caps())


def test_noise_images_are_counted_in_mean_class_sizes() -> None:
    spec = _training({"noise": NOISE | {"quantity": 5}})
    assert spec.count_noise_images(5000.0) == 25_000
    assert _training({}).count_noise_images(5000.0) == 0
    with pytest.raises(InvalidSpec, match="without any noise"):
        spec.check(CIFAR10, Caps(training_bytes=10**6), None)
    with pytest.raises(InvalidSpec, match="training images"):
        spec.check(CIFAR10, Caps(training_bytes=160_000_000), None)


def test_the_way_of_resizing_is_written_only_where_it_is_another_and_can_be_swept() -> None:
    assert "resize" not in parse_spec({"dataset": "d", "resize": "stretch"}).model_dump(mode="json")
    assert parse_spec({"dataset": "d", "resize": "crop"}).model_dump(mode="json")["resize"] == "crop"
    cells = cells_of(parse_spec({"dataset": "d", "sweep": {"resize": ["stretch", "crop", "pad"]}}))
    assert [_cell(cell).resize for cell in cells] == ["stretch", "crop", "pad"]
    with pytest.raises(InvalidSpec, match=r"sweep\.resize"):
        cells_of(parse_spec({"dataset": "d", "sweep": {"resize": ["fold"]}}))


@pytest.mark.parametrize(
    ("field", "default", "other"),
    [("interpolation", "bilinear", "bicubic"), ("crop_share", 1, 0.875), ("decoding", "full", "scaled")],
)
def test_how_squares_are_made_is_written_only_where_it_is_another(field: str, default: Any, other: Any) -> None:
    assert field not in parse_spec({"dataset": "d", field: default}).model_dump(mode="json")
    written = parse_spec({"dataset": "d", field: other}).model_dump(mode="json")
    assert written[field] == other
    assert _training(written).fitting == Fitting(**{field: other})
    cells = cells_of(parse_spec({"dataset": "d", "sweep": {field: [default, other]}}))
    assert [_cell(cell).fitting for cell in cells] == [Fitting(), Fitting(**{field: other})]


def test_a_padded_image_has_no_crop_share() -> None:
    spec = _training({"resize": "pad", "crop_share": 0.5})
    with pytest.raises(InvalidSpec, match="shows all of an image") as caught:
        spec.check(_facts(has_originals=True), Caps(), None)
    assert [error.field for error in caught.value.errors] == ["crop_share"]


def _facts(**changes: Any) -> DatasetFacts:
    known: dict[str, Any] = {"classes": ("a", "b"), "train_count": 100, "test_counts": {"a": 5, "b": 5}}
    return DatasetFacts(name="d", image_size=32, **(known | changes))


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({}, None),
        ({"image_size": 64}, View(image_size=64)),
        ({"resize": "crop"}, View(image_size=32, resize="crop")),
        ({"interpolation": "bicubic"}, View(image_size=32, interpolation="bicubic")),
        ({"crop_share": 0.875}, View(image_size=32, crop_share=0.875)),
        ({"decoding": "scaled"}, View(image_size=32, decoding="scaled")),
    ],
)
def test_a_cell_needs_a_view_unless_the_dataset_was_packed_so(document: dict[str, Any], wanted: View | None) -> None:
    spec = parse_spec({"dataset": "d"} | document)
    with_originals, without = _facts(has_originals=True), _facts()
    assert spec.needed(with_originals) == (Needed(wanted) if wanted else None)
    spec.check(with_originals, Caps(), None)
    if wanted is None:
        spec.check(without, Caps(), None)
    else:
        with pytest.raises(InvalidSpec, match="before original files were kept"):
            spec.check(without, Caps(), None)


@pytest.mark.parametrize(
    ("document", "format"),
    [
        ({"dataset": "d", "noise": [NOISE, {"family": "structured"}]}, 1),
        ({"kind": "hybrids", "dataset": "d"}, 1),
        ({"kind": "pretrained"}, 1),
        ({"dataset": "d", "network": "compact"}, FORMAT),
        ({"dataset": "d", "training": {"recipe": "one_cycle"}}, FORMAT),
        ({"dataset": "d", "resize": "stretch"}, 1),
        ({"dataset": "d", "resize": "pad"}, FORMAT),
        ({"dataset": "d", "interpolation": "bicubic"}, FORMAT),
        ({"dataset": "d", "crop_share": 0.875}, FORMAT),
        ({"dataset": "d", "decoding": "scaled"}, FORMAT),
    ],
)
def test_what_older_workers_do_not_know_has_a_newer_format(document: dict[str, Any], format: int) -> None:
    assert FORMAT > 1
    assert parse_spec(document).format == format


@pytest.mark.parametrize(
    ("document", "path", "values"),
    [
        ({"exclude": {"samples": "exp_1"}}, "exclude.reasons", [["illusive"], ["exact_copy", "near_copy"]]),
        ({"exclude": {"samples": "exp_1"}}, "exclude.ids", [[3], [4, 5]]),
        ({"network": "compact", "training": {"recipe": "one_cycle"}}, "training.shift_rate", [2.0, 64.0]),
    ],
)
def test_a_field_that_json_leaves_out_at_its_default_can_be_swept(
    document: dict[str, Any], path: str, values: list[Any]
) -> None:
    cells = cells_of(parse_spec({"dataset": "digits", **document, "sweep": {path: values}}))
    assert [value_at(one.spec.model_dump(mode="json"), path) for one in cells] == values
