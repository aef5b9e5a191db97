"""GET /presets: what the paper has, as specs."""

import pytest
from starlette.testclient import TestClient

from noisegate.presets import catalogue
from noisegate.spec import parse_spec


def test_the_list_says_what_each_scale_comes_to(shared_client: TestClient) -> None:
    items = shared_client.get("/presets").json()["items"]
    assert [item["name"] for item in items] == list(catalogue.names())
    by_name = {item["name"]: item for item in items}
    assert by_name["table-3"]["scales"]["paper"] == {"dataset": "cifar10", "cells": 17, "executions": 50, "epochs": 40}
    assert by_name["table-3"]["scales"]["smoke"]["dataset"] == "digits"
    assert by_name["figure-5"]["scales"]["quick"] == {"dataset": None, "cells": 2, "executions": 3, "epochs": None}
    assert by_name["figure-13"]["scales"]["smoke"]["epochs"] == 20
    for item in items:
        # At every scale the same cells: `noisegate presets` shows their number once.
        assert len({scale["cells"] for scale in item["scales"].values()}) == 1


@pytest.mark.parametrize("name", catalogue.names())
def test_one_preset_is_answered_whole(shared_client: TestClient, name: str) -> None:
    found = shared_client.get(f"/presets/{name}").json()
    preset = catalogue.get(name)
    assert (found["source"], found["published_note"]) == (preset.source, preset.published_note)
    assert {scale: parse_spec(spec) for scale, spec in found["specs"].items()} == {
        scale: preset.spec_at(scale) for scale in catalogue.SCALES
    }
    assert len(found["published"]) == len(preset.published)
    assert [choice["name"] for choice in found["choices"]] == [option.name for option in preset.choices]


def test_choices_are_answered_with_their_conditions_and_specs(shared_client: TestClient) -> None:
    found = shared_client.get("/presets/recommended").json()
    _, backbone, *others = found["choices"]
    assert backbone["when"].startswith(
        "its original files were kept and the median longer side of its images is above 96"
    )
    assert backbone["noise_images"] == 1_000
    assert backbone["specs"].keys() == {"paper", "quick"}
    assert parse_spec(backbone["specs"]["quick"]).executions == 3
    assert others[-1]["when"] == "none of the others fits"
    # Where a client looks for what it changes a part of: noise is the same kind in all of them.
    families = {spec["noise"]["family"] for choice in found["choices"] for spec in choice["specs"].values()}
    assert families == {spec["noise"]["family"] for spec in found["specs"].values()}


def test_published_rows_name_their_cell(shared_client: TestClient) -> None:
    rows = shared_client.get("/presets/table-2").json()["published"]
    (misprint,) = [row for row in rows if row["values"]["accuracy"] == 0.6048]
    assert misprint["cell"]["subgroup.fraction"] == 0.5
    assert "64.48" in misprint["values"]["note"]


def test_an_unknown_preset_is_a_problem_that_lists_them(shared_client: TestClient) -> None:
    answer = shared_client.get("/presets/figure-99")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["field"] == "preset"
    assert all(name in error["remedy"] for name in catalogue.names())
