"""The presets: that there is one for each row of PAPER.md's list, that all can be posted, and what overrides do."""

from pathlib import Path
from typing import Any

import pytest

import noisegate.presets
from noisegate.errors import InvalidSpec, NotFound
from noisegate.presets import catalogue
from noisegate.presets.catalogue import SCALES, Scale, expand
from noisegate.spec import ClassifierExperiment, OpenSetExperiment, SubgroupSpec, TrainingExperiment
from noisegate.spec.caps import Caps, check_caps
from noisegate.spec.networks import BackboneNetwork
from noisegate.spec.recipes import LinearRecipe, PaperRecipe
from noisegate.spec.sweeps import cells_of

# PAPER.md, "What each table and figure needs", and what the issue adds; with the number of cells that the list gives.
CELLS = {
    "baseline": 1,
    "figure-9": 1 + 11,
    "figure-10": 1 + 7,
    "figure-11": 1 + 2 * 9,
    "figure-12": 1 + 2 * (1 + 2 * 3),
    "solid-colour": 1 + 9,
    "gray": 1 + 9,
    "uniform-127-50": 1 + 6,
    "mixed-gaussian": 1 + 4,
    "table-2": 1 + 2 * 2 * 4,
    "table-3": 1 + 2 * 2 * 4,
    "table-3-gaussian": 1 + 2 * 2 * 4,
    "figure-5": 2,
    "figure-6": 3,
    "figure-13": 2,
    "table-2-features": 1 + 2 * 2 * 4,
    "table-3-features": 1 + 2 * 2 * 4,
    "recommended": 1,
}
# Protocols of the field.
PROTOCOLS = {"open-set-6-4": 4, "open-set-6-4-drawn": 2 * 5, "open-set-plus-10": 1, "open-set-plus-50": 1}
# What single training images are worth.
VALUE = {"value-report": 1, "value-ablation": 2 * 4 * 3}
ON_FEATURES = ("table-2-features", "table-3-features")
WITH_NOISE = ("table-3", "table-3-gaussian", "table-3-features", "recommended")
EVERY_SCALE = [(name, scale) for name in CELLS for scale in SCALES]


def test_every_row_of_the_list_is_a_preset_and_a_file() -> None:
    folder = Path(noisegate.presets.__path__[0])
    papers = [name for name in catalogue.names() if name not in {*PROTOCOLS, *VALUE}]
    assert papers == list(CELLS)
    assert {path.stem for path in folder.glob("*.yaml")} == {*CELLS, *PROTOCOLS, *VALUE}
    assert {path.stem for path in folder.glob("*.csv")} <= set(CELLS)
    assert [catalogue.get(name).name for name in CELLS] == list(CELLS)


@pytest.mark.parametrize(("name", "scale"), EVERY_SCALE)
def test_every_scale_can_be_posted(name: str, scale: Scale) -> None:
    spec = catalogue.get(name).spec_at(scale)
    check_caps(spec, Caps())
    assert len(cells_of(spec)) == CELLS[name]
    assert scale in spec.name


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_differ_in_effort_between_scales_and_run_in_seconds_on_the_digits(name: str) -> None:
    paper, quick, smoke = (catalogue.get(name).spec_at(scale) for scale in SCALES)
    for spec in (paper, quick, smoke):
        check_caps(spec, Caps())
        assert len(cells_of(spec)) == PROTOCOLS[name]
        assert isinstance(spec, OpenSetExperiment)
    assert (quick.named_dataset, smoke.named_dataset, smoke.epochs_per_execution) == ("cifar10", "digits", 3)
    assert (paper.sweep, paper.trained_network) == (quick.sweep, quick.trained_network)


@pytest.mark.parametrize("name", CELLS)
def test_the_scales_are_what_they_are_called(name: str) -> None:
    paper, quick, smoke = (catalogue.get(name).spec_at(scale) for scale in SCALES)
    assert (paper.executions, quick.executions) == (50, 3)
    assert smoke.executions <= 2
    if isinstance(paper, ClassifierExperiment):
        assert isinstance(quick, ClassifierExperiment)
        assert isinstance(smoke, ClassifierExperiment)
        assert (paper.training.epochs, quick.training.epochs) == (40, 12)
        assert smoke.training.epochs <= 4
        assert (paper.dataset, quick.dataset, smoke.dataset) == ("cifar10", "cifar10", "digits")
        # Nothing but the executions and epochs sets quick apart from paper: their cells are the same.
        assert (paper.sweep, paper.noise, paper.holdout) == (quick.sweep, quick.noise, quick.holdout)


@pytest.mark.parametrize("name", [name for name in CELLS if name not in ON_FEATURES])
def test_the_recipe_is_the_papers(name: str) -> None:
    paper = catalogue.get(name).spec_at("paper")
    if isinstance(paper, ClassifierExperiment):
        untouched = TrainingExperiment(dataset="cifar10").training
        assert (paper.training, paper.image_size, paper.seed) == (untouched, 32, 0)
        needs_threshold = name in ("recommended", "figure-6")
        assert paper.holdout == (0.1 if needs_threshold else 0)


@pytest.mark.parametrize("name", [name for name in CELLS if name not in WITH_NOISE])
def test_the_first_cell_has_no_noise_class(name: str) -> None:
    cells = [cell.spec for cell in cells_of(catalogue.get(name).spec_at("paper"))]
    if isinstance(cells[0], ClassifierExperiment):
        assert not cells[0].has_noise_class
        assert cells[0].subgroup is None


@pytest.mark.parametrize("name", ON_FEATURES)
def test_tables_on_features_have_the_cells_of_the_papers_by_its_definition(name: str) -> None:
    """Nothing else than the network, its recipe and the selection differs."""
    ours, printed = (catalogue.get(one).spec_at("paper") for one in (name, name.removesuffix("-features")))
    assert isinstance(ours, TrainingExperiment)
    assert isinstance(printed, TrainingExperiment)
    assert isinstance(ours.network, BackboneNetwork)
    assert isinstance(ours.training, LinearRecipe)
    assert (ours.noise, ours.holdout, ours.executions) == (printed.noise, printed.holdout, printed.executions)
    for cell, of_the_paper in zip(cells_of(ours), cells_of(printed), strict=True):
        assert isinstance(cell.spec, TrainingExperiment)
        assert isinstance(of_the_paper.spec, TrainingExperiment)
        by_definition = of_the_paper.spec.subgroup and of_the_paper.spec.subgroup.model_copy(
            update={"selection": "definition"}
        )
        assert cell.spec.subgroup == by_definition
        assert catalogue.published_for(name, cell.spec) is None


@pytest.mark.parametrize("name", VALUE)
def test_presets_of_sample_value(name: str) -> None:
    paper, quick, smoke = (catalogue.get(name).spec_at(scale) for scale in SCALES)
    for spec in (paper, quick, smoke):
        check_caps(spec, Caps())
        assert len(cells_of(spec)) == VALUE[name]
        assert isinstance(spec, TrainingExperiment)
        assert spec.holdout == 0
    assert paper.executions == 50
    assert (quick.named_dataset, smoke.named_dataset) == ("cifar10", "digits")


def test_the_ablation_compares_worst_and_controls_of_one_table() -> None:
    expanded = expand({"preset": "value-ablation", "exclude": {"samples": "exp_1"}}).spec
    found = [cell.spec.exclude for cell in cells_of(expanded) if isinstance(cell.spec, ClassifierExperiment)]
    assert {(one.samples, one.budget, one.control) for one in found if one} == {
        ("exp_1", budget, control) for budget in (0.01, 0.02, 0.05, 0.1) for control in (None, "random", "stratified")
    }
    assert expanded.executions >= 5, "Welch's test of fewer sees little"


def test_smoke_draws_little_noise() -> None:
    for name in CELLS:
        for cell in cells_of(catalogue.get(name).spec_at("smoke")):
            if isinstance(cell.spec, ClassifierExperiment):
                assert cell.spec.count_noise_images(143.7) <= 720


def test_expanding_merges_training_and_replaces_the_rest() -> None:
    asked = {
        "preset": "table-3",
        "dataset": "mine",
        "training": {"epochs": 2},
        "noise": None,
        "executions": 1,
    }
    expanded = expand(asked)
    spec = expanded.spec
    assert isinstance(spec, TrainingExperiment)
    assert (expanded.preset, expanded.scale) == ("table-3", "quick")
    assert (spec.dataset, spec.executions, spec.noise) == ("mine", 1, None)
    assert isinstance(spec.training, PaperRecipe)
    assert (spec.training.epochs, spec.training.weight_decay) == (2, 0.004)
    assert spec.sweep == catalogue.get("table-3").spec["sweep"]


def test_training_of_a_scale_is_kept_where_it_is_not_overridden() -> None:
    spec = expand({"preset": "baseline", "scale": "smoke", "training": {"batch_size": 8}}).spec
    assert isinstance(spec, TrainingExperiment)
    assert isinstance(spec.training, PaperRecipe)
    assert (spec.training.batch_size, spec.training.epochs, spec.training.first_layer_std) == (8, 3, 0.1)


def test_expanding_takes_another_sweep_and_another_kind_of_cell() -> None:
    spec = expand({"preset": "figure-9", "noise": {"family": "gray"}, "sweep": {"noise.quantity": [0, 1]}}).spec
    assert [cell.point for cell in cells_of(spec)] == [{"noise.quantity": 0}, {"noise.quantity": 1}]


def test_table_2_by_the_definition_as_its_description_tells() -> None:
    sweep = {
        "subgroup.fraction": [0.25, 0.5, 0.75, 0.8],
        "subgroup.correct": ["lc", "hc"],
        "subgroup.wrong": ["ls", "hs"],
    }
    for words in ("subgroup: {correct: hc, wrong: hs, fraction: 0.25}", *sweep):
        assert words in catalogue.get("table-2").description
    subgroup = {"correct": "hc", "wrong": "hs", "fraction": 0.25}
    cells = cells_of(expand({"preset": "table-2", "subgroup": subgroup, "sweep": sweep}).spec)
    subgroups = [cell.spec.subgroup for cell in cells if isinstance(cell.spec, ClassifierExperiment)]
    assert len(subgroups) == 16
    assert {group.selection for group in subgroups if isinstance(group, SubgroupSpec)} == {"definition"}


@pytest.mark.parametrize(
    ("document", "field", "listed"),
    [
        ({"preset": "figure-99"}, "preset", "figure-9, figure-10"),
        ({"preset": None}, "preset", "baseline"),
        ({"preset": ["figure-9"]}, "preset", "baseline"),
        ({"preset": "figure-9", "scale": "huge"}, "scale", "paper, quick, smoke"),
        ({"preset": "figure-9", "scale": None}, "scale", "paper, quick, smoke"),
        ({"preset": "figure-9", "noise": {"family": "gray"}}, "noise", "Give `sweep` too"),
        ({"preset": "figure-9", "speed": 3}, "speed", "spelling"),
        ({"preset": "figure-9", "training": 3}, "training", None),
        ({"preset": "figure-9", "training": {"epochs": 0}}, "training.epochs", "at least 1"),
        ({"preset": "figure-9", "sweep": None}, "sweep", None),
        ({"preset": "figure-5", "dataset": "cifar10"}, "dataset", "Remove it"),
    ],
)
def test_what_cannot_be_expanded(document: dict[str, Any], field: str, listed: str | None) -> None:
    with pytest.raises(InvalidSpec) as caught:
        expand(document)
    (error,) = caught.value.errors
    assert error.field == field
    assert listed is None or listed in (error.remedy or "")


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(NotFound) as caught:
        catalogue.get("../spec")
    assert caught.value.remedy
    assert all(name in caught.value.remedy for name in CELLS)


def test_a_caller_cannot_change_a_preset() -> None:
    document = catalogue.get("figure-9").spec_document("paper")
    document["sweep"]["noise"].clear()
    document["training"]["epochs"] = 1
    again = catalogue.get("figure-9").spec_document("paper")
    assert (len(again["sweep"]["noise"]), again["training"]["epochs"]) == (CELLS["figure-9"], 40)
