"""Leaving training images out: which, beside which controls, what is kept of the choice, and what is refused."""

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from noisegate.evaluation.sample_value.records import ExecutionRecord
from noisegate.selection import Selection, digest_of
from noisegate.store import sample_tables
from noisegate.store.tables import Cell

from .conftest import CLASSES, EACH, PLANTED, SPEC, House, archive

COUNT = len(CLASSES) * EACH + 1
QUICK = {"executions": 2, "training": {"epochs": 1, "batch_size": 40}, "keep_models": "none"}


def selections(house: House, experiment: str) -> list[Selection | None]:
    with house.resources.sessions.reading() as session:
        query = sa.select(Cell.selection).where(Cell.experiment_id == experiment).order_by(Cell.position)
        return list(session.scalars(query))


def rows(house: House, experiment: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.client.get(f"/results/{experiment}").json()["rows"]
    return found


def test_the_worst_beside_both_controls(house: House, recorded: str) -> None:
    exclude = {"samples": recorded, "budget": 0.03}
    sweep = {"exclude.control": [None, "random", "stratified"]}
    id = house.post(**QUICK, exclude=exclude, sweep=sweep)
    worst, drawn, stratified = selections(house, id)
    items = house.table(recorded)["items"]
    assert worst is not None
    assert drawn is not None
    assert stratified is not None
    assert worst.places == sorted(one["image"] for one in items[:4])
    assert (worst.count, drawn.count, stratified.count) == (4, 4, 4)
    assert worst.classes == stratified.classes
    assert worst.digest == digest_of(worst.places)
    assert len({worst.digest, drawn.digest, stratified.digest}) == 3
    first, *controls = rows(house, id)
    assert (first["excluded"]["count"], first["excluded"]["experiment"]) == (4, recorded)
    assert "places" not in first["excluded"]
    assert [(one["control"], one["cell"]) for one in first["excluded"]["against"]] == [("random", 1), ("stratified", 2)]
    for one, control in zip(first["excluded"]["against"], controls, strict=True):
        difference = first["accuracy"]["mean"] - control["accuracy"]["mean"]
        assert one["difference"]["accuracy"] == pytest.approx(difference)
        assert control["excluded"]["against"] == []
    table = house.client.get(f"/results/{id}", headers={"Accept": "text/csv"}).text
    assert "against_random_pct" in table


def test_what_is_left_out_is_neither_trained_on_nor_held_out(house: House, dataset: dict[str, Any]) -> None:
    ids = [0, 5, 17, 40, 80]
    id = house.post(**QUICK, exclude={"ids": ids}, noise={"family": "uniform", "quantity": 1})
    with house.resources.sessions.reading() as session:
        digest, _ = sample_tables.records_of(session, id, None)
    record = ExecutionRecord.from_bytes(house.resources.artefacts.read(digest))
    seen = {*record.rows.tolist(), *record.held_rows.tolist()}
    assert seen == set(range(COUNT)) - set(ids)
    assert record.probability.shape[1] == len(record.rows) + round(COUNT / 3)


def test_by_reason_and_the_same_choice_again(house: House, recorded: str) -> None:
    posted = {**QUICK, "executions": 1, "exclude": {"samples": recorded, "reasons": ["exact_copy", "copy_in_test"]}}
    one, other = (house.post(**posted) for _ in range(2))
    (chosen,), (again,) = selections(house, one), selections(house, other)
    assert chosen is not None
    assert chosen == again
    flagged = [
        row["image"] for row in house.table(recorded)["items"] if {"exact_copy", "copy_in_test"} & {*row["reasons"]}
    ]
    assert chosen.places == sorted(flagged)


def test_without_the_planted_labels_accuracy_is_what_it_is_without_planting(house: House, recorded: str) -> None:
    """The way back: the experiment that is told to leave the planted ones out trains on the same images as a clean upload would."""
    names = {name.replace("/", "-") for name in PLANTED}
    planted = [one["image"] for one in house.table(recorded)["items"] if one["name"].rpartition("/")[2] in names]
    id = house.post(**QUICK, exclude={"ids": planted})
    (chosen,) = selections(house, id)
    assert chosen is not None
    assert chosen.classes == {"blue": 0, "green": 3, "red": 0}


@pytest.mark.parametrize(
    ("exclude", "field", "words"),
    [
        ({"budget": 0.05}, "exclude.samples", "is not given"),
        ({"samples": "exp_none", "budget": 0.05}, "exclude.samples", "there is no experiment"),
        ({"ids": [COUNT]}, "exclude.ids", "no training image"),
        ({"ids": [1, 1]}, "exclude.ids", "twice"),
        ({"ids": [1], "budget": 0.1}, "exclude.budget", "beside ids"),
        ({"ids": list(range(COUNT))}, "exclude", "leaves 0 images of class"),
        ({"samples": "RECORDED", "budget": 1.0}, "exclude.budget", "less than 1"),
        ({"samples": "RECORDED", "budget": 0.999}, "exclude.budget", "a value is known of"),
        ({"samples": "RECORDED", "budget": 0.001}, "exclude.budget", "is 0 of"),
        ({"samples": "RECORDED", "reasons": ["odd_aspect"]}, "exclude.reasons", "no image has odd_aspect"),
        ({"samples": "RECORDED", "reasons": ["ugly"]}, "exclude.reasons.0", ""),
        ({"samples": "RECORDED", "cell": 3}, "exclude.cell", "counted from 0"),
    ],
)
def test_refused(house: House, recorded: str, exclude: dict[str, Any], field: str, words: str) -> None:
    named = exclude | ({"samples": recorded} if exclude.get("samples") == "RECORDED" else {})
    answer = house.client.post("/experiments?dry_run=true", json=SPEC | QUICK | {"exclude": named})
    assert answer.status_code == 422, answer.text
    found = answer.json()["errors"][0]
    assert (found["field"], words in found["message"]) == (field, True), found
    assert found["remedy"] or not words


def test_a_class_may_not_be_emptied_by_the_holdout_either(house: House, dataset: dict[str, Any]) -> None:
    everything = house.client.get(f"/datasets/{dataset['id']}").json()
    reds = _of_class(house, everything["id"], "red")
    answer = house.client.post("/experiments?dry_run=true", json=SPEC | QUICK | {"exclude": {"ids": reds[:-2]}})
    assert answer.json()["errors"][0]["message"].startswith(
        "leaves 2 images of class 'red', of which the holdout may take 4"
    )


def test_of_another_dataset(house: House, recorded: str) -> None:
    house.upload("clean", archive(planted=False))
    answer = house.client.post(
        "/experiments?dry_run=true", json=SPEC | QUICK | {"dataset": "clean", "exclude": {"samples": recorded}}
    )
    assert answer.json()["errors"][0]["field"] == "exclude.samples"
    assert "another dataset" in answer.json()["errors"][0]["message"]


def test_a_table_that_is_not_there_yet_is_asked_for(house: House, dataset: dict[str, Any]) -> None:
    id = house.post(**QUICK)
    body = SPEC | QUICK | {"exclude": {"samples": id, "cell": 0}}
    answer = house.client.post("/experiments", json=body)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (409, "not-ready", "2")
    house.make()
    answer = house.client.post("/experiments", json=body)
    assert answer.status_code == 202, answer.text
    house.run(answer.json()["id"])


def _of_class(house: House, dataset: str, name: str) -> list[int]:
    labels = [
        house.client.get(f"/datasets/{dataset}/images/train/{place}.png").headers["X-Label"] for place in range(COUNT)
    ]
    return np.flatnonzero(np.array(labels) == name).tolist()


@pytest.mark.parametrize(
    ("keep", "column", "sign"),
    [("ambiguous", "spread_epochs", -1), ("easy", "probability", -1), ("hard", "probability", 1)],
)
def test_subgroups_by_samples_train_on_a_part_and_leave_the_holdout(
    house: House, recorded: str, keep: str, column: str, sign: int
) -> None:
    subgroup = {"samples": recorded, "keep": keep, "fraction": 0.5}
    id = house.post(**QUICK, subgroup=subgroup, sweep={"subgroup.control": [None, "random"]})
    with house.resources.sessions.reading() as session:
        of_part, _, of_control, _ = (
            ExecutionRecord.from_bytes(house.resources.artefacts.read(digest))
            for digest in sample_tables.records_of(session, id, None)
        )
    items = [row for row in house.table(recorded)["items"] if row[column] is not None]
    expected = sorted(items, key=lambda row: (sign * row[column], row["image"]))[: round(len(items) / 2)]
    assert sorted(of_part.rows.tolist()) == sorted(row["image"] for row in expected)
    assert len(of_control.rows) == len(of_part.rows)
    assert set(of_control.rows.tolist()) != set(of_part.rows.tolist())
    assert len(of_part.held_rows) == len(of_control.held_rows) == 12
    first, _ = rows(house, id)
    assert first["label"] == "subgroup.control=null"
    assert (first["excluded"]["holdout_stays"], first["excluded"]["against"][0]["control"]) == (True, "random")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subgroup": {"samples": "exp_none", "keep": "easy", "fraction": 0.5}}, "subgroup.samples"),
        ({"subgroup": {"samples": "RECORDED", "keep": "nice", "fraction": 0.5}}, "subgroup.keep"),
        ({"subgroup": {"samples": "RECORDED", "keep": "easy"}}, "subgroup.fraction"),
        ({"subgroup": {"samples": "RECORDED", "keep": "easy", "fraction": 0.01}}, "subgroup.fraction"),
        (
            {"subgroup": {"samples": "RECORDED", "keep": "easy", "fraction": 0.5}, "exclude": {"samples": "RECORDED"}},
            "subgroup",
        ),
    ],
)
def test_subgroups_refused(house: House, recorded: str, changes: dict[str, Any], field: str) -> None:
    named = {
        name: {key: recorded if key == "samples" and value == "RECORDED" else value for key, value in asked.items()}
        for name, asked in changes.items()
    }
    answer = house.client.post("/experiments?dry_run=true", json=SPEC | QUICK | named)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text


def test_from_the_report_to_the_ablation_by_presets(house: House, dataset: dict[str, Any]) -> None:
    small = {"scale": "smoke", "dataset": "tints", "image_size": 8}
    report = house.client.post("/experiments", json={"preset": "value-report", **small}).json()
    house.run(report["id"])
    house.make()
    ablation = {"preset": "value-ablation", **small, "executions": 1}
    answer = house.client.post("/experiments?dry_run=true", json=ablation)
    assert answer.json()["errors"][0]["field"] == "exclude.samples", "the answer says what is missing"
    posted = ablation | {"exclude": {"samples": report["id"]}}
    plan = house.client.post("/experiments?dry_run=true", json=posted).json()
    assert (len(plan["cells"]), plan["executions"]) == (24, 24)
