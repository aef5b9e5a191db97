"""Comparing: numbers are the executions' own, whatever is shown beside them."""

import json
import re
from typing import Any

import pytest

from service.results.comparing import Compared, compare
from service.results.statistics import summarise
from tests.service.fabricated_results import of_preset
from tests.service.pages.conftest import House, Parsed


def cell(number: int, experiment: str, values: list[float], **fields: Any) -> Compared:
    row = of_preset("figure-9", n=0).rows[number]
    return Compared(experiment, experiment.upper(), row, fields, values, summarise(values))


def test_groups_are_over_all_executions_of_their_cells() -> None:
    cells = [
        cell(0, "a", [0.5, 0.6, 0.7], quantity=1.0, network="paper"),
        cell(1, "a", [0.9], quantity=5.0, network="paper"),
        cell(0, "b", [0.8, 0.6], quantity=1.0, network="compact"),
        cell(1, "b", [], quantity=None, network="compact"),
    ]
    found = compare(cells, "quantity")
    assert [group.value for group in found.groups] == [1.0, 5.0, None]
    first = found.groups[0]
    assert first.summary == summarise([0.5, 0.6, 0.7, 0.8, 0.6])
    assert first.by_experiment() == {"A": summarise([0.5, 0.6, 0.7]), "B": summarise([0.8, 0.6])}
    assert found.groups[2].summary is None
    assert found.fields == ["quantity", "network"]
    alone = compare(cells[:1], "quantity")
    assert alone.cells[0].summary == first.cells[0].summary
    assert alone.fields == []


def test_without_a_field_each_experiment_is_a_group() -> None:
    cells = [cell(0, "a", [0.5], x=1), cell(1, "a", [0.6], x=2), cell(0, "b", [0.7], x=1)]
    assert [(group.value, len(group.cells)) for group in compare(cells, None).groups] == [("A", 2), ("B", 1)]


def test_the_page_shows_them_and_leaves_out_what_is_to_go(house: House) -> None:
    id, other = house.ids["experiment"], house.ids["trained_by"]
    path = f"/ui/compare?experiment={id}&experiment={other}&group=noise.quantity"
    answer = house.get(path)
    assert answer.status_code == 200
    text = re.sub(r"\s+", " ", Parsed(answer.text).text)
    assert "75.00 ± 5.00" in text or "80.00 ± 10.00" in text
    found = re.search(r'<script type="application/json" id="chart-data">(.*?)</script>', answer.text, re.S)
    assert found
    chart = json.loads(found[1])
    assert chart["labels"][:2] == ["0", "1"]
    assert sum(len(line["x"]) for line in chart["lines"]) == 3
    left = house.get(f"{path}&without={id}:1")
    assert "cells/1" not in left.text
    assert f"{id}/cells/0" in left.text
    assert house.get(f"/ui/compare?experiment={id}", "bob").status_code == 404
    assert house.get("/ui/compare?measure=nonsense").status_code == 422
    assert house.get("/ui/compare?group=a&group=b").status_code == 422, "only what is a list may be given twice"


@pytest.mark.parametrize(
    "measure", ["confidence", "false_reject", "noise_per_10000", "holdout_accuracy", "train_seconds"]
)
def test_every_measure_can_be_shown(house: House, measure: str) -> None:
    text = house.get(f"/ui/compare?experiment={house.ids['experiment']}&measure={measure}").text
    assert re.search(r"\d\.\d\d", Parsed(text).text)
