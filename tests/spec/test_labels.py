from typing import Any

import pytest

from noisegate.spec.labels import label, share

KINDS = ["uniform", "gaussian", "smooth", "two_colour", "grating", "patches", "solid"]
SUBGROUP: dict[str, Any] = {"correct": "lc", "wrong": "ls", "fraction": 0.25}
MIXTURE = {"family": "mixture", "means": [32, 96, 160, 224], "stds": [32, 64], "filter_sizes": [3, 5, 7]}


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (None, "no noise"),
        ({"family": "uniform", "quantity": 5}, "uniform 5×"),
        ({"family": "uniform"}, "uniform 1×"),
        ({"family": "uniform", "low": 127, "high": 177, "quantity": 0.5}, "uniform 127…177 0.5×"),
        ({"family": "gaussian"}, "gaussian 127±70 1×"),
        ({"family": "gaussian", "mean": 31, "std": 12.5, "quantity": 100}, "gaussian 31±12.5 100×"),
        ({"family": "uniform", "quantity": 5, "filter": {"kind": "median", "size": 3}}, "uniform 5×, median 3"),
        ({"family": "gaussian", "filter": {"kind": "mean", "size": 7}}, "gaussian 127±70 1×, mean 7"),
        ({"family": "solid", "quantity": 20}, "solid 20×"),
        ({"family": "gray"}, "gray 1×"),
        (MIXTURE | {"quantity": 2}, "mixture 32…224±32/64 2×, mean 3/5/7"),
        (MIXTURE | {"means": [127], "filter_kind": "median"}, "mixture 127±32/64 1×, median 3/5/7"),
        ({"family": "structured", "quantity": 5}, "structured 5×"),
        ({"family": "structured", "kinds": KINDS[:-1]}, "structured without solid 1×"),
        ({"family": "structured", "kinds": ["two_colour", "grating"]}, "structured two_colour/grating 1×"),
        ([{"family": "uniform"}, {"family": "solid", "quantity": 2}], "uniform 1× + solid 2×"),
    ],
)
def test_noise(noise: Any, words: str) -> None:
    assert label({"noise": noise}) == words


@pytest.mark.parametrize(
    ("subgroup", "words"),
    [
        (None, "all training images"),
        (SUBGROUP, "lc ∪ ls .25"),
        (SUBGROUP | {"selection": "as_published"}, "lc ∪ ls .25 as published"),
        (SUBGROUP | {"correct": "hc", "wrong": "hs", "fraction": 0.5}, "hc ∪ hs .50"),
        (SUBGROUP | {"control": "random"}, "lc ∪ ls .25 random control"),
        (
            SUBGROUP | {"control": "stratified", "selection": "as_published"},
            "lc ∪ ls .25 as published, stratified control",
        ),
    ],
)
def test_subgroups(subgroup: Any, words: str) -> None:
    assert label({"subgroup": subgroup}) == words


def test_scalars_keep_their_paths() -> None:
    assert label({"noise.quantity": 5, "training_set": "middle"}) == "noise.quantity=5, training_set=middle"
    assert label({"holdout": None, "training.equal_updates": True}) == "holdout=null, training.equal_updates=true"


def test_names_stand_as_they_are_written() -> None:
    assert label({"classes": ["Äpfel", "りんご"]}) == 'classes=["Äpfel", "りんご"]'


def test_several_paths_and_none() -> None:
    assert label({"noise": {"family": "gray"}, "subgroup": SUBGROUP}) == "gray 1×, lc ∪ ls .25"
    assert label({}) == "all"


def test_what_this_version_does_not_know_stays_as_it_is() -> None:
    assert label({"noise": {"family": "perlin"}}) == 'noise={"family": "perlin"}'
    assert label({"subgroup": {"correct": "lc"}}) == 'subgroup={"correct": "lc"}'


def test_a_point_is_not_changed() -> None:
    point: dict[str, Any] = {"noise": {"family": "gaussian"}}
    label(point)
    assert point == {"noise": {"family": "gaussian"}}


@pytest.mark.parametrize(("fraction", "words"), [(0.25, ".25"), (0.5, ".50"), (0.125, ".125"), (1, "1"), (0.8, ".80")])
def test_shares(fraction: float, words: str) -> None:
    assert share(fraction) == words
