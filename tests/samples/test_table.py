"""GET /experiments/{id}/samples, from what executions record to pages, CSV and Parquet."""

import csv
import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from noisegate.evaluation.sample_value.records import ExecutionRecord
from noisegate.store import sample_tables

from .conftest import CLASSES, EACH, House

COUNT = len(CLASSES) * EACH + 1


def test_planted_labels_come_first_with_their_own_class_suggested(house: House, recorded: str) -> None:
    found = house.table(recorded)
    assert (found["total"], len(found["items"])) == (COUNT, COUNT)
    worst = found["items"][:3]
    assert {one["name"].rpartition("/")[2] for one in worst} == {"red-31.png", "red-32.png", "red-33.png"}
    assert {(one["label"], one["suggested"]) for one in worst} == {("green", "red")}
    assert any("label_issue" in one["reasons"] for one in worst)
    values = [one["value"] for one in found["items"] if one["value"] is not None]
    assert values == sorted(values)
    assert found["about"]["label_basis"] == "in_sample"
    assert (found["about"]["executions"], found["about"]["epochs"]) == (2, 12)
    assert found["about"]["features"].startswith("model ")


def test_copies_and_leaks_are_named(house: House, recorded: str) -> None:
    by_name = {one["name"].rpartition("/")[2]: one for one in house.table(recorded)["items"]}
    twins = [by_name[name] for name in ("blue-0.png", "twin.png")]
    first, later = sorted(twins, key=lambda one: int(one["image"]))
    assert "exact_copy" not in first["reasons"]
    assert "exact_copy" in later["reasons"]
    assert later["exact_copy_of"] == first["image"]
    leak = by_name["blue-1.png"]
    assert "copy_in_test" in leak["reasons"]
    assert leak["test_copy"] >= COUNT


def test_what_is_held_out_has_out_of_sample_probabilities_alone(house: House, recorded: str) -> None:
    items = house.table(recorded)["items"]
    held = [one for one in items if one["out_of_sample"] is not None]
    assert len(held) == 12
    assert all(one["executions"] == 0 and one["value"] is None and one["probability"] is None for one in held)
    assert all(one["executions"] == 2 for one in items if one not in held)


def test_pages_csv_and_parquet_say_the_same(house: House, recorded: str) -> None:
    items = house.table(recorded)["items"]
    path = f"/experiments/{recorded}/samples"
    parquet = house.client.get(path, params={"format": "parquet"})
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"
    rows = pq.read_table(io.BytesIO(parquet.content)).to_pylist()
    assert [one["image"] for one in rows] == [one["image"] for one in items]
    assert [one["reasons"] for one in rows] == [one["reasons"] for one in items]
    text = house.client.get(path, headers={"Accept": "text/csv"})
    lines = list(csv.DictReader(io.StringIO(text.text)))
    assert [int(line["image"]) for line in lines] == [one["image"] for one in items]
    assert lines[0]["reasons"].split(";") == items[0]["reasons"]


def test_narrowed_by_reason_and_class(house: House, recorded: str) -> None:
    everything = house.table(recorded)
    found = house.table(recorded, reason="label_issue")
    assert found["total"] == everything["reasons"]["label_issue"]
    assert all("label_issue" in one["reasons"] for one in found["items"])
    assert house.table(recorded, label="red")["total"] == EACH - 3
    narrowed = house.table(recorded, label="red", reason="label_issue")["items"]
    assert all(one["label"] == "red" for one in narrowed)


def test_recorded_are_all_epochs_of_all_training_images(house: House, recorded: str) -> None:
    with house.resources.sessions.reading() as session:
        digests = sample_tables.records_of(session, recorded, None)
    for digest in digests:
        record = ExecutionRecord.from_bytes(house.resources.artefacts.read(digest))
        assert record.probability.shape == (12, COUNT - 12)
        assert len(record.held_rows) == 12


@pytest.mark.parametrize(
    ("query", "field"), [({"label": "grey"}, "label"), ({"reason": "ugly"}, "reason"), ({"cursor": "what"}, "cursor")]
)
def test_refused_by_name(house: House, recorded: str, query: dict[str, Any], field: str) -> None:
    answer = house.client.get(f"/experiments/{recorded}/samples", params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_cell_that_is_not_there_and_an_experiment_without_records(house: House, recorded: str) -> None:
    answer = house.client.get(f"/experiments/{recorded}/samples?cell=1")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "cell")
    plain = house.post(record="none", executions=1, training={"epochs": 1, "batch_size": 40})
    answer = house.client.get(f"/experiments/{plain}/samples")
    assert answer.status_code == 404
    assert '"record": "samples"' in answer.json()["remedy"]


def test_a_table_of_one_cell_is_made_when_it_is_asked_for(house: House, recorded: str) -> None:
    path = f"/experiments/{recorded}/samples?cell=0"
    answer = house.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (409, "not-ready")
    assert answer.headers["retry-after"] == "2"
    house.make()
    answer = house.client.get(path)
    assert answer.status_code == 200
    assert answer.json()["about"]["cell"] == 0
