"""What becomes of records, tables and choices: deleted with their experiment, found again, and left alone by older workers."""

from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from noisegate.spec import parse_spec
from noisegate.store import sample_tables
from noisegate.store.states import DerivedState
from noisegate.store.tables import Cell, Derived, DerivedFile, Execution
from worker.making import Making
from worker.samples import make_sample_table

from .conftest import SPEC, House

QUICK: dict[str, Any] = {"executions": 2, "training": {"epochs": 1, "batch_size": 40}, "keep_models": "none"}


def test_records_and_tables_go_with_their_experiment_and_choices_stay(house: House, dataset: dict[str, Any]) -> None:
    id = house.post(**QUICK, seed=11)  # of its own: files that another experiment names, too, would stay
    house.make()
    follower = house.post(**QUICK | {"executions": 1, "record": "none"}, exclude={"samples": id, "budget": 0.05})
    with house.resources.sessions.reading() as session:
        records = sample_tables.records_of(session, id, None)
        tables = sample_tables.digests_of(session, id)
    assert (len(records), len(tables)) == (2, 1)
    assert all(house.resources.artefacts.fetch(digest).exists() for digest in [*records, *tables])
    planned = house.client.delete(f"/experiments/{id}?dry_run=true").json()
    assert planned["files"] == 3
    assert house.client.delete(f"/experiments/{id}").json()["files"] == 3
    for digest in [*records, *tables]:
        with pytest.raises(FileNotFoundError):
            house.resources.artefacts.read(digest)
    assert house.client.get(f"/experiments/{id}/samples").status_code == 404
    row = house.client.get(f"/results/{follower}").json()["rows"][0]
    assert (row["excluded"]["count"], row["excluded"]["experiment"]) == (6, id)
    with house.resources.sessions.reading() as session:
        selection = session.scalar(sa.select(Cell.selection).where(Cell.experiment_id == follower))
    assert selection is not None
    assert len(selection.places) == 6


def test_a_table_that_was_dropped_is_made_again_with_the_same_bytes(house: House, dataset: dict[str, Any]) -> None:
    id = house.post(**QUICK, seed=12)
    house.make()
    with house.resources.sessions.begin() as session:
        before = sample_tables.digests_of(session, id)
        sample_tables.drop(session, id)
    assert house.client.get(f"/experiments/{id}/samples").status_code == 409
    house.make()
    assert house.client.get(f"/experiments/{id}/samples").status_code == 200
    with house.resources.sessions.reading() as session:
        assert sample_tables.digests_of(session, id) == before


def test_a_shuffle_of_executions_changes_no_byte(
    house: House, recorded: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with house.resources.sessions.reading() as session:
        row = session.scalars(
            sa.select(Derived)
            .join(DerivedFile)
            .where(DerivedFile.file_digest.in_(sample_tables.digests_of(session, recorded)))
            .options(sa.orm.joinedload(Derived.dataset))
        ).first()
        assert row is not None
        session.expunge_all()
    found = sample_tables.records_of

    def turned(*arguments: Any) -> list[str]:
        return found(*arguments)[::-1]

    class Calm:
        def check(self) -> None:
            pass

    made = []
    for records in (found, turned):
        monkeypatch.setattr(sample_tables, "records_of", records)
        folder = tmp_path_factory.mktemp("made")
        making = Making(house.resources, row, None, folder, Calm(), {})  # type: ignore[arg-type]
        made.append(pq.read_table(make_sample_table(making)["samples.parquet"]))
    assert made[0].equals(made[1])


def test_a_table_that_could_not_be_made_says_why_and_is_tried_again_later(
    house: House, dataset: dict[str, Any]
) -> None:
    id = house.post(**QUICK, seed=13)
    with house.resources.sessions.begin() as session:
        digest = session.scalars(sa.select(Execution.dynamics_digest).where(Execution.experiment_id == id)).first()
    assert digest is not None
    kept = house.resources.artefacts.read(digest)
    house.resources.artefacts.delete(digest)
    house.make()
    answer = house.client.get(f"/experiments/{id}/samples")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "could not be made" in answer.json()["detail"]
    assert house.resources.artefacts.put_bytes(kept) == digest
    with house.resources.sessions.begin() as session:
        failed = sa.update(Derived).where(Derived.state == DerivedState.FAILED).values(finished_at=None)
        session.execute(failed)
    assert house.client.get(f"/experiments/{id}/samples").json()["code"] == "not-ready"
    house.make()
    assert house.client.get(f"/experiments/{id}/samples").status_code == 200


def test_specs_without_records_read_as_before_and_those_with_are_left_to_newer_workers() -> None:
    plain = parse_spec({"dataset": "digits"})
    assert not {"record", "exclude"} & plain.model_dump().keys()
    assert plain.format == 1
    changes: list[dict[str, Any]] = [
        {"record": "samples"},
        {"exclude": {"ids": [1]}},
        {"subgroup": {"samples": "exp_1", "keep": "easy", "fraction": 0.5}},
    ]
    for change in changes:
        spec = parse_spec({"dataset": "digits", **change})
        assert spec.format > 1
        assert parse_spec(spec.model_dump(mode="json")) == spec
    recorded = parse_spec(SPEC)
    assert parse_spec(recorded.model_dump(mode="json")) == recorded
