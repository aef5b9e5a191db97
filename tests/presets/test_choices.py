"""What `recommended` chooses by what a dataset is, what it says of it, and how a request overrules it."""

from collections.abc import Mapping
from typing import Any

import pytest

from noisegate.errors import InvalidSpec
from noisegate.networks.backbones import EMBEDDED
from noisegate.presets import catalogue
from noisegate.presets.catalogue import Expanded
from noisegate.spec import DatasetFacts, TrainingExperiment
from noisegate.spec.caps import Caps, check_caps
from noisegate.spec.networks import BackboneNetwork
from noisegate.spec.recipes import LinearRecipe, OneCycleRecipe, PaperRecipe


def facts(
    images: int, longer_side: int | None, *, packed_at: int = 32, classes: int = 2, originals: bool = True
) -> DatasetFacts:
    """A dataset with as many training images."""
    names = tuple(f"class {number}" for number in range(classes))
    return DatasetFacts("mine", packed_at, names, images, dict.fromkeys(names, 10), originals, longer_side)


def chosen(dataset: DatasetFacts, **asked: Any) -> tuple[TrainingExperiment, Expanded]:
    body: Mapping[str, Any] = {"preset": "recommended", "dataset": "mine"} | asked
    expanded = catalogue.choose(body, dataset)
    assert isinstance(expanded.spec, TrainingExperiment)
    return expanded.spec, expanded


@pytest.mark.parametrize(
    ("dataset", "name", "numbers"),
    [
        (facts(195, 500), "backbone_few", "195 training images, fewer than 1,000"),
        (facts(999, 32), "backbone_few", "999 training images, fewer than 1,000"),
        (facts(1_000, 500), "backbone", "500 pixels, above 96"),
        (facts(20_000, 97), "backbone", "97 pixels, above 96"),
        (facts(20_000, 96), "compact", "20,000 training images, 5,000 or more"),
        (facts(4_999, 32), "backbone", "4,999 training images, fewer than 5,000"),
        (facts(5_000, 32), "compact", "5,000 training images"),
        (facts(1_437, 8, classes=10), "paper_few", "1,437 training images, fewer than 5,000"),
        (facts(60_000, None, originals=False), "compact", "packed at 32 pixels a side, 16 or more"),
        (facts(500, 224, packed_at=32, originals=False), "paper_few", "500 training images"),
        (facts(500, None, packed_at=8, originals=False), "paper_few", "500 training images, fewer than 5,000"),
        (facts(50_000, None, packed_at=8, originals=False), "paper", "packed at 8 pixels a side without its original"),
    ],
)
def test_the_dataset_decides_and_the_reason_has_its_numbers(dataset: DatasetFacts, name: str, numbers: str) -> None:
    spec, expanded = chosen(dataset)
    assert expanded.choice is not None
    assert expanded.choice.name == name
    assert numbers in expanded.choice.reason
    assert expanded.choice.reason.startswith(expanded.choice.title)
    networks: dict[str, Any] = {"compact": "compact", "paper_few": "paper", "paper": "paper"}
    assert spec.network == networks.get(name, BackboneNetwork(backbone="tf_efficientnet_lite0", layers="several"))
    recipes = {"compact": OneCycleRecipe, "paper_few": PaperRecipe, "paper": PaperRecipe}
    assert type(spec.training) is recipes.get(name, LinearRecipe)
    expected = (0, "cross_validated") if name == "backbone_few" else (0.1, "holdout")
    assert (spec.holdout, spec.calibration) == expected
    assert (spec.executions, spec.has_noise_class) == (3, True)
    check_caps(spec, Caps())
    if dataset.has_originals:
        spec.check(dataset, Caps(), None)


def test_noise_through_a_backbone_is_at_most_a_thousand_images() -> None:
    small, _ = chosen(facts(1_000, 500))
    assert small.count_noise_images(500) == 500
    large, expanded = chosen(facts(30_000, 500))
    assert 999 <= large.count_noise_images(15_000) <= 1_000
    assert expanded.choice is not None
    assert "at most 1,000" in expanded.choice.reason
    own, expanded = chosen(facts(30_000, 500), noise={"family": "gray", "quantity": 2})
    assert own.count_noise_images(15_000) == 30_000
    assert expanded.choice is not None
    assert "1,000" not in expanded.choice.reason


@pytest.mark.parametrize(
    ("asked", "name", "network"),
    [
        ({"network": "paper"}, "paper_few", "paper"),
        ({"network": "compact"}, "compact", "compact"),
        ({"network": "resnet18"}, "compact", "resnet18"),
        ({"network": {"backbone": "resnet50"}}, "backbone_few", BackboneNetwork(backbone="resnet50")),
        ({"training": {"recipe": "paper"}}, "paper_few", "paper"),
        ({"training": {"recipe": "one_cycle"}}, "compact", "compact"),
    ],
)
def test_a_network_or_a_recipe_in_the_request_wins_and_brings_what_goes_with_it(
    asked: dict[str, Any], name: str, network: object
) -> None:
    spec, expanded = chosen(facts(195, 500), **asked)
    assert expanded.choice is not None
    assert (expanded.choice.name, spec.network) == (name, network)
    assert "the request asks for" in expanded.choice.reason
    expected = asked.get("training", {}).get("recipe", spec.training.recipe)
    assert spec.training.recipe == expected


HALF = {"correct": "hc", "wrong": "ls", "fraction": 0.5}


@pytest.mark.parametrize(
    ("images", "asked", "name", "calibration", "words"),
    [
        (195, {"holdout": 0.2}, "backbone", "holdout", "the request asks for a holdout"),
        (195, {"calibration": "holdout"}, "backbone", "holdout", "asks for calibration holdout"),
        (195, {"subgroup": HALF}, "backbone", "holdout", "asks for a subgroup"),
        (195, {"sweep": {"holdout": [0.1, 0.2]}}, "backbone", "holdout", "asks for a holdout"),
        (195, {"holdout": 0}, "backbone_few", "cross_validated", "fewer than 1,000"),
        (4_000, {"calibration": "cross_validated"}, "backbone_few", "cross_validated", "asks for cross-validation"),
    ],
)
def test_what_thresholds_come_from_may_be_asked_for(
    images: int, asked: dict[str, Any], name: str, calibration: str, words: str
) -> None:
    dataset = facts(images, 500)
    spec, expanded = chosen(dataset, **asked)
    assert expanded.choice is not None
    assert (expanded.choice.name, spec.calibration) == (name, calibration)
    assert words in expanded.choice.reason
    if "subgroup" not in asked:
        spec.check(dataset, Caps(), None)


def test_other_fields_win_over_the_choice_field_by_field() -> None:
    spec, _ = chosen(facts(195, 500), training={"epochs": 7}, noise=None, executions=5, image_size=160)
    assert isinstance(spec.training, LinearRecipe)
    assert (spec.training.epochs, spec.training.batch_size) == (7, 32)
    assert (spec.noise, spec.executions, spec.image_size) == (None, 5, 160)


def test_another_recipe_takes_nothing_over_from_the_one_below() -> None:
    expanded = catalogue.expand({"preset": "baseline", "training": {"recipe": "one_cycle"}, "network": "compact"})
    assert isinstance(expanded.spec, TrainingExperiment)
    assert expanded.spec.training == OneCycleRecipe(recipe="one_cycle")


def test_a_field_of_another_recipe_is_refused_once_the_dataset_is_known() -> None:
    body = {"preset": "recommended", "dataset": "mine", "training": {"crop_padding": 4}}
    catalogue.expand(body)
    chosen(facts(50_000, 32), training={"crop_padding": 4})
    with pytest.raises(InvalidSpec) as caught:
        chosen(facts(195, 500), training={"crop_padding": 4})
    assert [error.field for error in caught.value.errors] == ["training.crop_padding"]


def test_what_no_choice_takes_is_refused_before_the_dataset_is_known() -> None:
    with pytest.raises(InvalidSpec) as caught:
        catalogue.expand({"preset": "recommended", "dataset": "mine", "epoch": 3})
    assert [error.field for error in caught.value.errors] == ["epoch"]


def test_only_recommended_chooses_and_not_at_scale_smoke() -> None:
    choosing = [name for name in catalogue.names() if catalogue.chooses({"preset": name})]
    assert choosing == ["recommended"]
    assert not catalogue.chooses({"preset": "recommended", "scale": "smoke"})
    assert not catalogue.chooses({"dataset": "mine"})
    for option in catalogue.get("recommended").choices:
        for scale in ("paper", "quick"):
            assert catalogue.get("recommended").spec_of(option, scale).count_cells() == 1


def test_the_embedded_backbone_is_the_one_chosen() -> None:
    spec, _ = chosen(facts(195, 500))
    assert isinstance(spec.network, BackboneNetwork)
    assert spec.network.facts.name == EMBEDDED
