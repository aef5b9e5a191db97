"""What specs and derived artefacts say of fine-tuning; artefacts of before are what they were."""

import dataclasses
from typing import Any

import pytest

from noisegate.errors import InvalidSpec
from noisegate.spec import DatasetFacts, parse_spec
from noisegate.spec.caps import Caps
from noisegate.spec.derived import Features, Needed, View

SPEC: dict[str, Any] = {
    "dataset": "photographs",
    "network": {"backbone": "tf_efficientnet_lite0"},
    "training": {"recipe": "fine_tune"},
}
FACTS = DatasetFacts(
    name="photographs",
    image_size=32,
    classes=("rose", "tulip"),
    train_count=1000,
    test_counts={"rose": 10, "tulip": 10},
    has_originals=True,
)


def refused(caps: Caps | None = None, **changes: Any) -> tuple[str, str, str]:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(SPEC | changes).check(FACTS, caps or Caps(), None)
    (error,) = caught.value.errors
    return error.field, error.message, error.remedy or ""


def fine_tune(**changes: Any) -> dict[str, Any]:
    return {"training": {"recipe": "fine_tune"} | changes}


def test_the_defaults_fit_together() -> None:
    spec = parse_spec(SPEC)
    spec.check(FACTS, Caps(), None)
    assert spec.needed(FACTS) == Needed(
        Features(backbone="tf_efficientnet_lite0.in1k", upto="blocks.3", flipped=True),
        follows_from=Needed(View(image_size=224)),
    )
    assert parse_spec(spec.model_dump(mode="json")) == spec
    assert spec.format == 2, "older workers leave it alone"


def test_without_flips_none_are_computed() -> None:
    needed = parse_spec(SPEC | fine_tune(flip=False)).needed(FACTS)
    assert needed is not None
    assert needed.parameters == Features(backbone="tf_efficientnet_lite0.in1k", upto="blocks.3")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"precision": "int8"}, "is int8, and the recipe fine_tune trains layers of the backbone in float32"),
        ({"layers": "several"}, "is several, and the recipe fine_tune trains the layers after the first of them"),
    ],
)
def test_other_features_are_another_artefact_and_for_the_recipe_linear_alone(asked: dict[str, Any], why: str) -> None:
    ((field, value),) = asked.items()
    network = SPEC["network"] | asked
    assert refused(network=network) == (f"network.{field}", why, "Leave it out, or use the recipe linear.")
    linear, plain = (parse_spec({"dataset": "d", "network": one}) for one in (network, SPEC["network"]))
    linear.check(FACTS, Caps(), None)
    made, usual = linear.needed(FACTS), plain.needed(FACTS)
    assert made is not None
    assert usual is not None
    assert made.parameters == Features(backbone="tf_efficientnet_lite0.in1k", **asked)
    assert made.key("a" * 64) != usual.key("a" * 64)
    assert (field, value) in set(linear.named_members())
    assert (linear.format, made.parameters.format) == (2, 2), "older workers leave both alone"
    assert parse_spec(linear.model_dump(mode="json")) == linear
    assert field not in plain.model_dump(mode="json")["network"]


def test_several_layers_need_a_backbone_whose_stages_are_known() -> None:
    field, message, remedy = refused(
        network={"backbone": "vit_base_patch16_224", "layers": "several"}, training={"recipe": "linear"}
    )
    assert field == "network.layers"
    assert message.startswith("is several, and it is not known which the stages of vit_base_patch16_224")
    assert "EfficientNet" in remedy


def test_features_of_before_are_written_and_found_as_they_were() -> None:
    made = Features(backbone="b.t")
    assert made.model_dump_json() == '{"kind":"features","backbone":"b.t","weights":"default"}'
    # As a version without cuts computed it.
    of_before = "fca39729492a8254f07b95c72559815b765eb0e0ccb6140410d5e4da17d5714f"
    needed = Needed(made, follows_from=Needed(View(image_size=64)))
    assert needed.key("a" * 64) == of_before
    cut = dataclasses.replace(needed, parameters=Features(backbone="b.t", upto="blocks.3"))
    assert cut.key("a" * 64) != of_before


def test_early_stopping_needs_a_holdout() -> None:
    field, message, remedy = refused(holdout=0)
    assert (field, message) == ("training.patience", "is 4, and there is no holdout to see on when to stop")
    assert remedy == "Give holdout 0.1, or patience null: then all epochs are trained and the last one is kept."
    parse_spec(SPEC | {"holdout": 0} | fine_tune(patience=None)).check(FACTS, Caps(), None)


def test_a_backbone_whose_layers_are_not_known_is_refused() -> None:
    field, message, remedy = refused(network={"backbone": "vit_tiny_patch16_224"})
    assert field == "training.recipe"
    assert message.startswith(
        "is fine_tune, which trains later layers, and it is not known which those of vit_tiny_patch16_224"
    )
    assert "EfficientNet, ResNet, ConvNeXt, RegNet" in remedy
    assert "recipe linear" in remedy


def test_a_network_of_ours_is_no_backbone() -> None:
    field, message, remedy = refused(network="compact", image_size=32)
    assert field == "training.recipe"
    assert message == "is fine_tune, which trains a layer on top of a backbone, and the network is compact"
    assert "backbone" in remedy


def test_recipes_of_networks_of_ours_do_not_train_backbones() -> None:
    field, _, remedy = refused(training={"recipe": "one_cycle", "batch_size": 32})
    assert (field, remedy) == ("training.recipe", "It takes: linear, fine_tune.")


@pytest.mark.parametrize(
    ("field", "value"),
    [("head_epochs", 12), ("patience", 0), ("layer_decay", 0), ("frozen", "none"), ("momentum", 0.9)],
)
def test_what_makes_no_sense_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(SPEC | fine_tune(**{field: value}))
    assert [error.field for error in caught.value.errors] == [f"training.{field}"]


def test_activations_count_against_the_cap_of_bytes() -> None:
    # 14 × 14 × 80 numbers of four bytes, twice over, for each of 1,000 images.
    needed = 1000 * 2 * 4 * 14 * 14 * 80
    parse_spec(SPEC).check(FACTS, Caps(training_bytes=needed), None)
    field, message, _ = refused(Caps(training_bytes=needed - 1))
    assert field == "dataset"
    assert f"{needed:,} bytes" in message
    parse_spec(SPEC | fine_tune(flip=False)).check(FACTS, Caps(training_bytes=needed // 2), None)
