"""What may be asked for of cross-validation: how specs read, and what does not go together."""

from typing import Any

import pytest

from noisegate.errors import InvalidSpec
from noisegate.spec import FORMAT, DatasetFacts, TrainingExperiment, parse_spec
from noisegate.spec.caps import Caps
from noisegate.spec.recipes import LinearRecipe

BACKBONE: dict[str, Any] = {"dataset": "d", "network": {"backbone": "tf_efficientnet_lite0"}}
FACTS = DatasetFacts("d", 224, ("a", "b"), 100, {"a": 5, "b": 5}, has_originals=True)


def parsed(document: dict[str, Any]) -> TrainingExperiment:
    spec = parse_spec(BACKBONE | document)
    assert isinstance(spec, TrainingExperiment)
    return spec


def refused(spec: TrainingExperiment) -> dict[str, str]:
    """What is wrong, by field: the message and the remedy."""
    with pytest.raises(InvalidSpec) as caught:
        spec.check(FACTS, Caps(), None)
    return {error.field: f"{error.message}. {error.remedy}" for error in caught.value.errors}


def test_cross_validation_holds_nothing_out_and_reads_back() -> None:
    spec = parsed({"calibration": "cross_validated"})
    assert (spec.holdout, spec.calibration, spec.format) == (0, "cross_validated", FORMAT)
    spec.check(FACTS, Caps(), None)
    assert parse_spec(spec.model_dump(mode="json")) == spec
    assert spec.base_spec().calibration == "cross_validated"
    # Six trainings: one on all images, five on four fifths of them.
    assert spec.training_images(FACTS) == 5 * parsed({"holdout": 0}).training_images(FACTS)


def test_specs_read_as_before_unless_it_is_asked_for() -> None:
    written = parsed({}).model_dump(mode="json")
    assert "calibration" not in written
    assert parse_spec(written | {"calibration": "holdout"}).model_dump(mode="json") == written
    assert parsed({}).holdout == 0.1


def test_what_does_not_go_with_cross_validation_is_refused_by_its_field() -> None:
    paper = parse_spec({"dataset": "d", "image_size": 224, "calibration": "cross_validated"})
    assert isinstance(paper, TrainingExperiment)
    found = refused(paper)
    assert list(found) == ["calibration"]
    assert "the recipe is paper" in found["calibration"]
    assert "recipe linear" in found["calibration"]
    found = refused(parsed({"calibration": "cross_validated", "holdout": 0.2}))
    assert list(found) == ["holdout"]
    assert "is 0.2, and calibration is cross_validated" in found["holdout"]
    assert "Leave it out" in found["holdout"]
    half = {"correct": "hc", "wrong": "ls", "fraction": 0.5}
    found = refused(parsed({"calibration": "cross_validated", "subgroup": half}))
    assert list(found) == ["subgroup"]
    assert "Leave calibration out" in found["subgroup"]


@pytest.mark.parametrize(("given", "meant"), [(None, "auto"), ("auto", "auto"), (0.1, 0.1), (0, 0.0), (2, 2.0)])
def test_a_weight_decay_is_a_number_or_auto(given: object, meant: object) -> None:
    spec = parsed({"training": {"recipe": "linear"} | ({} if given is None else {"weight_decay": given})})
    assert isinstance(spec.training, LinearRecipe)
    assert spec.training.weight_decay == meant
    written = spec.model_dump(mode="json")
    assert written["training"]["weight_decay"] == meant, (
        "a stored spec has it written down, whatever the default becomes"
    )
    assert parse_spec(written) == spec


@pytest.mark.parametrize("given", ["none", -0.1, True, None, [0.1], float("inf")])
def test_any_other_weight_decay_is_named(given: object) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parsed({"training": {"recipe": "linear", "weight_decay": given}})
    assert [error.field for error in caught.value.errors] == ["training.weight_decay"]


def test_only_a_number_can_be_descended_by() -> None:
    assert LinearRecipe.model_validate({"recipe": "linear", "weight_decay": 0.3}).descent.weight_decay == 0.3
    with pytest.raises(AssertionError, match="chosen before"):
        _ = LinearRecipe.model_validate({"recipe": "linear"}).descent
