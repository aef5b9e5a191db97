"""What may be asked of open-set experiments, and how what may not is told."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.errors import InvalidSpec
from noisegate.spec import DatasetFacts, DrawnClasses, OpenSetExperiment, parse_spec
from noisegate.spec.caps import Caps
from noisegate.spec.sweeps import cells_of

CLASSES = ("ant", "bee", "cat", "dog", "elk")


def facts(
    name: str = "pets", classes: tuple[str, ...] = CLASSES, originals: bool = True, **changes: Any
) -> DatasetFacts:
    counts = dict.fromkeys(classes, 100)
    usual: dict[str, Any] = {"test_counts": dict.fromkeys(classes, 20), "train_counts": counts}
    return DatasetFacts(name, 32, classes, 100 * len(classes), has_originals=originals, **(usual | changes))


def asked(**changes: Any) -> OpenSetExperiment:
    spec = parse_spec({"kind": "open_set", "dataset": "pets", "known": ["ant", "bee", "cat"], "holdout": 0.1} | changes)
    assert isinstance(spec, OpenSetExperiment)
    return spec


def refusal(
    others: Mapping[str, DatasetFacts] | None = None, dataset: DatasetFacts | None = None, **changes: Any
) -> tuple[str, str, str]:
    """Field, message and remedy of the first thing that is wrong with a spec or its only cell."""
    with pytest.raises(InvalidSpec) as refused:
        (cell,) = cells_of(asked(**changes))
        cell.spec.check(dataset or facts(), Caps(), None)
        cell.spec.check_others(dataset or facts(), others or {})
    error = refused.value.errors[0]
    assert error.remedy, "says what to do"
    return error.field, error.message, error.remedy


def test_drawn_classes_are_a_cell_each_and_swept_values_vary_slower() -> None:
    cells = cells_of(asked(known={"count": 2, "splits": 3}, sweep={"network": ["paper", "compact"]}))
    assert [cell.point for cell in cells] == [
        {"network": network, "known.split": split} for network in ("paper", "compact") for split in range(3)
    ]
    assert asked(known={"count": 2, "splits": 3}).count_cells() == 3


@given(st.permutations(CLASSES), st.integers(2, 4), st.integers(0, 50))
def test_a_draw_depends_on_the_names_alone(order: list[str], count: int, split: int) -> None:
    draw = DrawnClasses(count=count, splits=51, seed=7, split=split)
    assert set(draw.of(order)) == set(draw.of(CLASSES))
    assert len(draw.of(order)) == count
    assert draw.of(order) == [name for name in order if name in draw.of(order)], "in the dataset's order"


def test_draws_differ_between_splits_and_seeds() -> None:
    drawn = {
        tuple(DrawnClasses(count=2, splits=9, seed=seed, split=split).of(CLASSES))
        for seed in (0, 1)
        for split in range(9)
    }
    assert len(drawn) > 5, "of ten pairs"


def test_counts_are_those_of_the_known_classes() -> None:
    """1× noise is the mean size of a known class; held-out images are not trained on."""
    uneven = facts(train_counts={"ant": 10, "bee": 20, "cat": 30, "dog": 500, "elk": 500})
    spec = asked(noise={"family": "uniform"}, training={"epochs": 2}, holdout=0)
    assert spec.noise_images(uneven) == 20
    assert spec.training_images(uneven) == 2 * (60 + 20)


def test_unknown_datasets_are_named_by_their_fields() -> None:
    spec = asked(unknown=[{"dataset": "a"}, {"dataset": "b"}], declared_unknown=[{"dataset": "c"}])
    assert spec.other_datasets == {
        "declared_unknown.0.dataset": "c",
        "unknown.0.dataset": "a",
        "unknown.1.dataset": "b",
    }


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"known": ["ant", "cow"]}, "known", "no class 'cow'"),
        ({"known": ["ant", "ant"]}, "known", "twice"),
        ({"known": list(CLASSES)}, "known", "nothing unknown"),
        ({"known": {"count": 6}}, "known.count", "has 5 classes"),
        (
            {"base": {"experiment": "exp_1"}, "subgroup": {"correct": "hc", "wrong": "ls", "fraction": 1}},
            "base",
            "held out",
        ),
        ({"noise_weight": 0.5}, "noise_weight", "no noise class"),
        ({"declared_unknown": [{"dataset": "d"}], "holdout": 0}, "declared_unknown", "no holdout"),
        ({"rule": {"scores": [{"score": "knn"}]}, "holdout": 0}, "rule", "no holdout"),
        ({"rule": {"scores": [{"score": "knn"}]}, "declared_unknown": [{"dataset": "d"}]}, "rule", "declared_unknown"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_field(changes: dict[str, Any], field: str, words: str) -> None:
    found, message, _ = refusal(**changes)
    assert found.removeprefix("sweep.") == field.removeprefix("sweep.")
    assert words in message


def test_fewer_than_two_known_classes_are_no_classes() -> None:
    for known in (["ant"], [], {"count": 1}):
        with pytest.raises(InvalidSpec) as refused:
            asked(known=known)
        assert refused.value.errors[0].field.startswith("known")


@pytest.mark.parametrize(
    ("unknown", "other", "field", "words"),
    [
        ({}, facts("zoo", ("ANT", "fox")), "unknown.0.exclude", "known ones by name: ANT"),
        ({"exclude": ["wolf"]}, facts("zoo", ("fox",)), "unknown.0.exclude", "no class 'wolf'"),
        ({"exclude": ["fox"]}, facts("zoo", ("fox",)), "unknown.0.exclude", "leaves no class"),
        ({"only": ["wolf"]}, facts("zoo", ("fox",)), "unknown.0.only", "no class 'wolf'"),
        ({"only": ["ANT"]}, facts("zoo", ("ANT", "fox")), "unknown.0.only", "known ones by name: ANT"),
        ({}, facts("zoo", ("fox",), test_counts={}), "unknown.0.part", "no test image"),
        ({}, facts("zoo", ("fox",), originals=False), "unknown.0.dataset", "before original files were kept"),
    ],
)
def test_datasets_that_cannot_be_unknown(unknown: dict[str, Any], other: DatasetFacts, field: str, words: str) -> None:
    changes: dict[str, Any] = {"unknown": [{"dataset": "zoo"} | unknown], "image_size": 40}
    found, message, _ = refusal({"unknown.0.dataset": other}, **changes)
    assert found == field
    assert words in message


def test_classes_of_another_dataset_are_taken_by_name() -> None:
    zoo = ("fox", "ANT", "wolf")
    spec = asked(unknown=[{"dataset": "zoo", "only": ["wolf", "fox"]}])
    spec.check_others(facts(), {"unknown.0.dataset": facts("zoo", zoo)})
    assert spec.unknown[0].taken_of(zoo) == ["fox", "wolf"]
    wrongs: list[dict[str, Any]] = [{"only": []}, {"only": ["fox"], "exclude": ["wolf"]}]
    for wrong in wrongs:
        with pytest.raises(InvalidSpec) as refused:
            asked(unknown=[{"dataset": "zoo"} | wrong])
        assert refused.value.errors[0].field == "unknown.0.only"


def test_held_out_classes_may_be_unknown_elsewhere() -> None:
    other = facts("zoo", ("dog", "fox"))
    asked(unknown=[{"dataset": "zoo"}]).check_others(facts(), {"unknown.0.dataset": other})


def test_images_as_noise_must_be_of_no_known_class() -> None:
    noise = {"family": "images", "dataset": "zoo"}
    found, message, _ = refusal({"noise.dataset": facts("zoo", ("bee", "fox"))}, noise=noise)
    assert (found, "bee" in message) == ("noise.exclude", True)
    spec = asked(noise=[{"family": "uniform"}, noise | {"exclude": ["bee"]}])
    spec.check_others(facts(), {"noise.1.dataset": facts("zoo", ("bee", "fox"))})


def test_a_misspelt_class_of_noise_is_not_passed_over() -> None:
    noise = {"family": "images", "dataset": "zoo", "exclude": ["foks"]}
    found, message, _ = refusal({"noise.dataset": facts("zoo", ("fox",))}, noise=noise)
    assert (found, "no class 'foks'" in message) == ("noise.exclude", True)


def test_what_is_noise_is_not_measured_on_and_nothing_twice() -> None:
    zoo = facts("zoo", ("fox",))
    noise = {"family": "images", "dataset": "zoo"}
    others = {"unknown.0.dataset": zoo, "noise.dataset": zoo}
    found, _, _ = refusal(others, unknown=[{"dataset": "ds_1", "part": "all"}], noise=noise)
    assert found == "unknown.0.part"
    asked(unknown=[{"dataset": "ds_1"}], noise=noise).check_others(facts(), others)
    again = {"unknown.0.dataset": zoo, "unknown.1.dataset": zoo}
    assert refusal(again, unknown=[{"dataset": "zoo"}, {"dataset": "ds_1"}])[0] == "unknown"


def test_the_rule_is_not_chosen_by_what_it_is_measured_on() -> None:
    both: dict[str, Any] = {"unknown": [{"dataset": "zoo", "part": "all"}], "declared_unknown": [{"dataset": "zoo"}]}
    other = facts("zoo", ("fox",))
    found, _, _ = refusal({"unknown.0.dataset": other, "declared_unknown.0.dataset": other}, **both)
    assert found == "unknown.0.part"


def test_a_base_is_trained_on_the_known_classes_and_there_is_one() -> None:
    subgroup = {"correct": "hc", "wrong": "ls", "fraction": 1.0}
    base = asked(subgroup=subgroup, noise={"family": "uniform"}, noise_weight=0.5).base_spec()
    assert (base.known, base.subgroup, base.noise, base.noise_weight) == (["ant", "bee", "cat"], None, None, 1)
    one = asked(subgroup=subgroup, known={"count": 2}).base_spec()
    assert one.known_in(CLASSES) == cells_of(asked(known={"count": 2}))[0].spec.known_in(CLASSES)  # type: ignore[attr-defined]
    for changes in ({"known": {"count": 2, "splits": 2}}, {"sweep": {"known": [["ant", "bee"], ["bee", "cat"]]}}):
        with pytest.raises(InvalidSpec, match="different known classes"):
            asked(subgroup=subgroup, **changes).base_spec()
