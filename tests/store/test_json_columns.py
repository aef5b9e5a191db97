"""JSON columns give back the documents that they were given, in the text that they always had, on both databases."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from noisegate.api.problems import Failure, FieldProblem
from noisegate.details import Details, ScoredCounts
from noisegate.errors import InvalidInput, NewerVersion
from noisegate.manifest import Metrics
from noisegate.spec import ExperimentSpec, HybridsExperiment, TrainingExperiment, parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import claims, executions, experiments, models, planning
from noisegate.store.json_columns import Unreadable
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Execution, Experiment, Model
from tests import factories

FAILURE = Failure(
    code="invalid-input",
    title="What was sent cannot be used",
    detail="image_size: is 7",
    remedy="Take 8.",
    errors=[FieldProblem(field="image_size", message="is 7")],
    worker="w/1",
)
# As every version wrote it.
FAILURE_TEXT = (
    '{"code": "invalid-input", "title": "What was sent cannot be used", "detail": "image_size: is 7", '
    '"remedy": "Take 8.", "errors": [{"field": "image_size", "message": "is 7", "remedy": null}], "worker": "w/1"}'
)
WITHOUT_WORKER = '{"code": "x", "title": "t", "detail": "d", "remedy": null, "errors": []}'


def text_of(session: Session, column: str, id: str) -> str:
    """What stands in the database, as text."""
    table, name = column.split(".")
    query = f"SELECT CAST({name} AS TEXT) FROM {table} WHERE id = :id"
    return str(session.execute(sa.text(query), {"id": id}).scalar_one())


def dumped(document: Any) -> str:
    return json.dumps(document.model_dump(mode="json"))


@pytest.fixture
def experiment(sessions: Sessions) -> Experiment:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        return factories.queued_experiment(session)


SPECS: list[dict[str, Any]] = [
    {"dataset": "pets", "sweep": {"training.epochs": [9, 3], "noise": [None, {"family": "gray"}]}},
    {"dataset": "pets", "kind": "hybrids", "hybrids": {"classes": ["dog", "cat"]}, "executions": 1},
    {"kind": "curve_fitting", "samples": 50},
]


@pytest.mark.parametrize("document", SPECS)
def test_a_spec_comes_back_as_its_kind_and_its_text_is_its_json(sessions: Sessions, document: dict[str, Any]) -> None:
    wanted: ExperimentSpec = parse_spec(document)
    with sessions.begin() as session:
        factories.ready_dataset(session)
        made = factories.queued_experiment(session, wanted)
        assert made.spec is wanted
    with sessions.reading() as session:
        found = experiments.get(session, made.id, cell_specs=True)
        assert (type(found.spec), found.spec) == (type(wanted), wanted)
        assert list(found.spec.sweep) == list(wanted.sweep), "in the order that its author wrote"
        assert text_of(session, "experiments.spec", made.id) == dumped(wanted)
        for cell in found.cells:
            assert type(cell.spec) is type(wanted)
            assert text_of(session, "cells.spec", cell.id) == dumped(cell.spec)


def test_results_come_back_as_they_were_recorded(sessions: Sessions, experiment: Experiment) -> None:
    details = Details(scored=ScoredCounts(correct=90, wrong=10), measures={"a": None}, figure={"z": [1, "x"], "b": {}})
    result = executions.ExecutionResult(
        metrics=factories.metrics(0.9),
        details=details,
        train_seconds=1.5,
        device="cpu",
        versions={"torch": "9", "a": "1"},
    )
    with sessions.begin() as session:
        execution, lease = factories.claim_one(session)
        executions.record_success(session, lease, result)
    with sessions.reading() as session:
        row = session.get_one(Execution, execution.id)
        assert (row.metrics, row.details, row.versions) == (result.metrics, details, result.versions)
        assert (type(row.metrics), type(row.details)) == (Metrics, Details)
        assert text_of(session, "executions.metrics", row.id) == dumped(result.metrics)
        assert text_of(session, "executions.details", row.id) == dumped(details)
        assert text_of(session, "executions.versions", row.id) == '{"torch": "9", "a": "1"}'


def test_none_is_null_and_not_the_null_of_json(sessions: Sessions, experiment: Experiment) -> None:
    with sessions.begin() as session:
        execution, lease = factories.claim_one(session)
        result = executions.ExecutionResult(train_seconds=1.5, device="cpu", versions={})
        executions.record_success(session, lease, result)
    with sessions.reading() as session:
        empty = sa.text("SELECT id FROM executions WHERE metrics IS NULL AND losses_by_epoch IS NULL AND id = :id")
        assert session.scalars(empty, {"id": execution.id}).all() == [execution.id]
        assert session.get_one(Execution, execution.id).metrics is None


@pytest.mark.parametrize(
    ("failure", "text"), [(FAILURE, FAILURE_TEXT), (Failure(code="x", title="t", detail="d"), WITHOUT_WORKER)]
)
def test_a_failure_is_written_as_it_always_was(
    sessions: Sessions, experiment: Experiment, failure: Failure, text: str
) -> None:
    with sessions.begin() as session:
        execution, lease = factories.claim_one(session)
        executions.record_failure(session, lease, failure)
    with sessions.reading() as session:
        assert session.get_one(Execution, execution.id).error == failure
        assert text_of(session, "executions.error", execution.id) == text


def test_a_failure_says_what_its_error_says() -> None:
    error = InvalidInput("is 7", field="image_size", remedy="Take 8.")
    field = FieldProblem(field="image_size", message="is 7", remedy="Take 8.")
    expected = {"code": "invalid-input", "title": InvalidInput.title, "detail": "is 7", "remedy": "Take 8."}
    assert Failure.of(error, worker="w/1") == Failure(**expected, errors=[field], worker="w/1")


def test_a_model_comes_back_with_manifest_and_card(sessions: Sessions, experiment: Experiment) -> None:
    with sessions.begin() as session:
        execution, _ = factories.claim_one(session)
        manifest = factories.manifest(execution)
        models.register(session, execution.id, factories.model_files(1), manifest, keep="all")
    with sessions.reading() as session:
        (found,) = models.page(session, experiment_id=None, cursor=None, limit=9).items
        assert (found.manifest, type(found.manifest.spec)) == (manifest, TrainingExperiment)
        assert text_of(session, "models.manifest", found.id) == dumped(manifest)
        assert found.card is None


def test_nothing_but_the_columns_own_document_is_written(sessions: Sessions, experiment: Experiment) -> None:
    with sessions.begin() as session:
        _, lease = factories.claim_one(session)
        with pytest.raises(StatementError, match="Failure"):
            executions.record_failure(session, lease, {"code": "x"})  # type: ignore[arg-type]
        session.rollback()


# --- Other versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "kind"),
    [({"dataset": "pets"}, TrainingExperiment), ({"kind": "hybrids", "dataset": "pets"}, HybridsExperiment)],
)
def test_what_an_older_version_left_out_gets_its_default(
    sessions: Sessions, experiment: Experiment, document: dict[str, Any], kind: type[ExperimentSpec]
) -> None:
    with sessions.begin() as session:
        execution, _ = factories.claim_one(session)
        factories.write_json(session, "experiments.spec", experiment.id, document)
        factories.write_json(session, "executions.details", execution.id, {})
        factories.write_json(session, "executions.error", execution.id, {"code": "x", "title": "t", "detail": "d"})
    with sessions.reading() as session:
        spec = session.get_one(Experiment, experiment.id).spec
        assert (type(spec), spec) == (kind, parse_spec(document))
        row = session.get_one(Execution, execution.id)
        assert (row.details, row.error) == (Details(), Failure(code="x", title="t", detail="d"))


NEWER: Mapping[str, Any] = {"kind": "dreaming", "name": "of sheep", "sheep": 3}


def test_what_a_newer_version_wrote_does_not_hide_the_rows_beside_it(
    sessions: Sessions, experiment: Experiment
) -> None:
    with sessions.begin() as session:
        newer = factories.queued_experiment(session)
        factories.write_json(session, "experiments.spec", newer.id, NEWER)
    with sessions.reading() as session:
        rows = {row.id: row for row in experiments.page(session, state=None, cursor=None, limit=9).items}
        assert rows[experiment.id].spec == experiment.spec
        unread: Any = rows[newer.id].spec
        assert isinstance(unread, Unreadable)
        assert unread.document == NEWER
        with pytest.raises(NewerVersion, match="kind: there is no 'dreaming'"):
            _ = rows[newer.id].spec.executions


def test_what_cannot_be_read_is_kept_as_it_is(sessions: Sessions, experiment: Experiment) -> None:
    with sessions.begin() as session:
        factories.write_json(session, "experiments.spec", experiment.id, NEWER)
    with sessions.begin() as session:
        row = session.get_one(Experiment, experiment.id)
        row.name, row.spec = "another", row.spec
        sa.orm.attributes.flag_modified(row, "spec")
    with sessions.reading() as session:
        assert text_of(session, "experiments.spec", experiment.id) == json.dumps(NEWER)


# --- Not more than once -------------------------------------------------------------------------------------------------------


def test_a_claim_reads_its_cell_once_however_many_executions_it_gets(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        planning.create(session, planning.plan(session, factories.spec(sweep={}, executions=4), Caps()))
    with sessions.begin() as session:
        granted = claims.claim(session, owner="w", lease_seconds=30, capacity=3)
    assert granted
    with sessions.reading() as session:
        rows = claims.rows_of(session, granted)
    cell = rows[0][0].cell
    assert all(execution.cell is cell for execution, _ in rows)
    assert cell.experiment.dataset is not None, "without another look, as the session is closed"
    with sessions.reading() as session:
        again = claims.rows_of(session, granted, cell)
    assert all(execution.cell is cell for execution, _ in again)


def test_choosing_among_models_reads_no_manifest(sessions: Sessions, experiment: Experiment) -> None:
    with sessions.begin() as session:
        execution, _ = factories.claim_one(session)
        models.register(session, execution.id, factories.model_files(1), factories.manifest(execution), keep="all")
        factories.write_json(
            session, "models.manifest", session.scalars(sa.select(Model.id)).one(), {"format": "noisegate-model-9"}
        )
    with sessions.reading() as session:
        best = models.best_by_cell(session, experiment.id)
        assert sa.inspect(best[execution.cell_id]).unloaded >= {"manifest", "card"}
