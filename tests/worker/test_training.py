"""One claim, in this process: what is recorded for each way that an execution can end."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from noisegate.inference.classifier import Classifier
from noisegate.learning.cells import prepare_cell
from noisegate.learning.export import export_model
from noisegate.manifest import ModelManifest
from noisegate.rejection.reference import Reference
from noisegate.store import executions, experiments, expiry, leases, models
from noisegate.store.packed import open_packed
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from noisegate.store.tables import Dataset, Execution, Experiment
from tests import factories
from tests.worker.conftest import on_both_databases
from worker.kinds.classifiers import _images_per_family
from worker.lease import draining
from worker.resources import Resources
from worker.training import train_oldest


def _post(resources: Resources, **changes: Any) -> str:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
        return factories.queued_experiment(session, factories.shades_spec(**changes)).id


def _rows(sessions: Sessions, experiment_id: str) -> tuple[Experiment, list[Execution]]:
    with sessions.reading() as session:
        return experiments.get(session, experiment_id), list(executions.of_experiment(session, experiment_id))


def _files(resources: Resources) -> set[str]:
    return {path.name for path in (resources.artefacts.root / "sha256").rglob("*") if path.is_file()}


@on_both_databases
def test_a_succeeded_execution_leaves_a_result_and_a_model_that_runs(resources: Resources) -> None:
    experiment_id = _post(resources)
    train_oldest(resources)
    experiment, (execution,) = _rows(resources.sessions, experiment_id)
    assert experiment.state is State.SUCCEEDED
    assert execution.metrics is not None
    assert execution.metrics.accuracy == 1.0
    assert execution.losses_by_epoch is not None
    assert len(execution.losses_by_epoch) == 20
    assert (execution.precision, execution.device) == ("float32", "cpu")
    with resources.sessions.reading() as session:
        default = models.get(session, "default")
    manifest = ModelManifest.model_validate_json(resources.artefacts.read(default.manifest_digest))
    assert manifest == default.manifest
    assert manifest.seed == execution.seed
    network = onnxruntime.InferenceSession(resources.artefacts.read(default.onnx_digest))
    bright = np.full((1, 8, 8, 3), 190, dtype=np.uint8)
    assert manifest.outputs[int(network.run(["logits"], {"images": bright})[0].argmax())] == "bright"


def test_a_model_is_kept_with_its_reference_and_its_card(resources: Resources) -> None:
    _post(resources)
    train_oldest(resources)
    with resources.sessions.reading() as session:
        default = models.get(session, "default")
        card = default.card
    manifest = default.manifest
    assert card
    reference = Reference.from_bytes(resources.artefacts.read(default.reference_digest or ""))
    assert manifest.calibration
    assert int(reference.class_counts.sum()) == manifest.calibration.samples == 24
    classifier = Classifier(resources.artefacts.read(default.onnx_digest), manifest, reference)
    bright = np.full((1, 8, 8, 3), 190, dtype=np.uint8)
    (decision,) = classifier.classify(bright)
    assert decision.conformal
    _check_answers(resources, classifier)
    assert set(decision.scores) == {"msp", "max_logit", "energy", "entropy", "knn", "mahalanobis", "vim"}
    assert card.accuracy == 1.0
    assert {one.name: one.trained for one in card.families}["uniform"]


def _check_answers(resources: Resources, classifier: Classifier) -> None:
    """What was kept of each test image is what the model says of it."""
    with resources.sessions.reading() as session:
        execution = session.scalars(sa.select(Execution)).one()
        packed = open_packed(resources.artefacts, session.scalars(sa.select(Dataset)).one())
    rows = pq.read_table(resources.artefacts.fetch(execution.samples_digest or "")).to_pylist()
    assert [row["image"] for row in rows] == list(range(120, 160))
    assert [row["label"] for row in rows] == [packed.classes[label] for label in packed.labels[120:]]
    for row, decision in zip(rows, classifier.classify(np.asarray(packed.images[120:])), strict=True):
        assert (row["given"], row["rejected"]) == (decision.label, decision.rejected)
        assert row["probability"] == pytest.approx(max(decision.probabilities.values()), abs=1e-4)
        assert row["reject_score"] == pytest.approx(decision.reject_score, abs=1e-4)


def test_an_execution_is_judged_and_one_that_has_not_learnt_is_not_published(resources: Resources) -> None:
    """Two experiments: one that learns, before it one whose learning rate is nearly nothing."""
    useless = _post(resources, training={"epochs": 1, "learning_rate": 1e-12}, noise=None)
    train_oldest(resources)
    _, (execution,) = _rows(resources.sessions, useless)
    assert execution.details is not None
    assert execution.details.judgement is not None
    assert [found.code for found in execution.details.judgement.findings] == ["no_better_than_guessing"]
    assert "weight updates, which is few" in execution.details.judgement.findings[0].remedy
    with resources.sessions.reading() as session:
        (model,) = models.page(session, experiment_id=useless, cursor=None, limit=9).items
        assert models.aliases(session) == []
    # With the model, too, so that its file says it wherever it goes.
    assert model.manifest.judgement == execution.details.judgement
    assert ModelManifest.model_validate_json(resources.artefacts.read(model.manifest_digest)) == model.manifest
    with resources.sessions.begin() as session:
        factories.queued_experiment(session, factories.shades_spec())
    train_oldest(resources)
    with resources.sessions.reading() as session:
        default = models.get(session, "default")
    judgement = default.manifest.judgement
    assert judgement is not None
    assert (judgement.measured_on, judgement.images, judgement.findings) == ("holdout", 24, [])


@pytest.mark.parametrize(("image_size", "images"), [(8, 500), (64, 500), (128, 125), (224, 50), (1024, 50)])
def test_large_images_make_a_smaller_card(image_size: int, images: int) -> None:
    assert _images_per_family(500, image_size) == images


def test_without_a_holdout_there_is_a_card_but_no_reference(resources: Resources) -> None:
    experiment_id = _post(resources, holdout=0, keep_models="all")
    train_oldest(resources)
    with resources.sessions.reading() as session:
        (kept,) = models.page(session, experiment_id=experiment_id, cursor=None, limit=9).items
        card = kept.card
    assert card
    assert kept.reference_digest is None
    assert (card.false_reject, card.temperature) == ([], None)


def test_a_seed_gives_the_same_result_again(resources: Resources) -> None:
    first, second = _post(resources), None
    train_oldest(resources)
    with resources.sessions.begin() as session:
        second = factories.queued_experiment(session, factories.shades_spec()).id
    train_oldest(resources)
    results = [_rows(resources.sessions, id)[1][0] for id in (first, second)]
    assert results[0].losses_by_epoch == results[1].losses_by_epoch
    assert results[0].metrics == results[1].metrics


def test_a_cell_keeps_one_model_and_no_other_file_stays(resources: Resources) -> None:
    experiment_id = _post(resources, executions=3)
    before = _files(resources)
    for _ in range(3):
        train_oldest(resources)
    experiment, rows = _rows(resources.sessions, experiment_id)
    with resources.sessions.reading() as session:
        (kept,) = models.page(session, experiment_id=None, cursor=None, limit=9).items
    assert experiment.state is State.SUCCEEDED
    assert kept.holdout_accuracy == max(row.holdout_accuracy or 0 for row in rows)
    answers = {row.samples_digest for row in rows if row.samples_digest}
    assert answers, "of the executions whose model was the best when they ended"
    assert _files(resources) - before == {*kept.digests, *answers}


def test_a_diverging_execution_fails_with_the_reason(resources: Resources) -> None:
    experiment_id = _post(resources, training={"learning_rate": 1e9})
    train_oldest(resources)
    experiment, (execution,) = _rows(resources.sessions, experiment_id)
    assert (experiment.state, execution.state) == (State.FAILED, State.FAILED)
    assert execution.error is not None
    assert execution.error.code == "diverged"
    assert "learning_rate" in (execution.error.remedy or "")


@on_both_databases
def test_trouble_of_this_machine_is_noted_and_another_may_try(resources: Resources) -> None:
    experiment_id = _post(resources)
    for digest in _files(resources):
        resources.artefacts.delete(digest)
    train_oldest(resources)
    _, (execution,) = _rows(resources.sessions, experiment_id)
    assert (execution.state, execution.owner) == (State.RUNNING, resources.owner)
    assert execution.error is not None
    said = execution.error.detail
    assert said.startswith("FileNotFoundError: No such file or directory (")
    assert "/" not in said, "no path is told"
    with resources.sessions.begin() as session:
        lease = leases.Lease(execution.id, resources.owner, execution.attempt)
        leases.renew(session, Execution, lease, lease_seconds=-1)
        assert expiry.reap(session, lease_seconds=60, max_losses=1, error=factories.failure()).failed == [execution.id]
    _, (execution,) = _rows(resources.sessions, experiment_id)
    assert (execution.state, execution.owner) == (State.FAILED, resources.owner)
    assert execution.error is not None
    assert execution.error.code == "unexpected", "the trouble noted, not merely that the lease ran out"


def test_what_would_come_again_fails_the_execution_at_once(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = _post(resources)

    def refuse(*_: Any, **__: Any) -> Any:
        raise ValueError("a line\nand another")

    monkeypatch.setattr("worker.kinds.classifiers.export_model", refuse)
    train_oldest(resources)
    _, (execution,) = _rows(resources.sessions, experiment_id)
    assert execution.error is not None
    assert execution.state is State.FAILED
    assert re.fullmatch(r"ValueError: a line \(test_training\.py, line \d+, in refuse\)", execution.error.detail)
    assert execution.error.worker == resources.owner


@on_both_databases
def test_a_database_that_is_away_while_recording_loses_nothing(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = _post(resources)
    record_success = executions.record_success
    refusals: list[int] = []

    def away_at_first(*arguments: Any, **named: Any) -> Any:
        if len(refusals) < 2:
            refusals.append(1)
            raise sa.exc.OperationalError("UPDATE", {}, Exception("the database is restarting"))
        return record_success(*arguments, **named)

    monkeypatch.setattr("worker.training.executions.record_success", away_at_first)
    train_oldest(resources)
    experiment, (execution,) = _rows(resources.sessions, experiment_id)
    assert (experiment.state, execution.attempt, execution.losses) == (State.SUCCEEDED, 1, 0)
    with resources.sessions.reading() as session:
        default = models.get(session, "default")
    assert resources.artefacts.path(default.onnx_digest).exists()


def test_a_draining_worker_claims_nothing(resources: Resources) -> None:
    experiment_id = _post(resources)
    draining.set()
    try:
        train_oldest(resources)
    finally:
        draining.clear()
    _, (execution,) = _rows(resources.sessions, experiment_id)
    assert (execution.state, execution.attempt) == (State.QUEUED, 0)


def test_draining_gives_the_execution_back(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment_id = _post(resources)

    def drain_then_prepare(*arguments: Any) -> Any:
        draining.set()
        return prepare_cell(*arguments)

    monkeypatch.setattr("worker.kinds.classifiers.prepare_cell", drain_then_prepare)
    try:
        train_oldest(resources)
    finally:
        draining.clear()
        monkeypatch.undo()
    _, (execution,) = _rows(resources.sessions, experiment_id)
    assert (execution.state, execution.losses, execution.owner) == (State.QUEUED, 0, None)
    train_oldest(resources)
    experiment, (execution,) = _rows(resources.sessions, experiment_id)
    assert (experiment.state, execution.attempt) == (State.SUCCEEDED, 2)


def test_cancellation_is_heard_while_training(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment_id = _post(resources, training={"epochs": 500})

    def cancel_then_prepare(*arguments: Any) -> Any:
        with resources.sessions.begin() as session:
            experiments.cancel(session, experiment_id)
        return prepare_cell(*arguments)

    monkeypatch.setattr("worker.kinds.classifiers.prepare_cell", cancel_then_prepare)
    train_oldest(resources)
    experiment, (execution,) = _rows(resources.sessions, experiment_id)
    assert (experiment.state, execution.state) == (State.CANCELLED, State.CANCELLED)
    assert execution.epochs_done < 500


@on_both_databases
def test_a_zombies_result_is_refused_and_its_heirs_files_stay(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = _post(resources)
    heirs: list[str] = []

    def lose_the_lease_meanwhile(*arguments: Any, **named: Any) -> Any:
        if not heirs:
            heirs.append("heir")
            with resources.sessions.begin() as session:
                _, (execution,) = _rows(resources.sessions, experiment_id)
                lease = leases.Lease(execution.id, execution.owner or "", execution.attempt)
                leases.renew(session, Execution, lease, lease_seconds=-1)
                expiry.reap(session, lease_seconds=60, max_losses=9, error=factories.failure())
            train_oldest(resources)  # the heir trains the same execution to its end, with the very same bytes
        return export_model(*arguments, **named)

    monkeypatch.setattr("worker.kinds.classifiers.export_model", lose_the_lease_meanwhile)
    train_oldest(resources)
    experiment, (execution,) = _rows(resources.sessions, experiment_id)
    assert (experiment.state, execution.attempt, execution.losses) == (State.SUCCEEDED, 2, 1)
    with resources.sessions.reading() as session:
        default = models.get(session, "default")
    for digest in default.digests:
        assert resources.artefacts.path(digest).exists()


def test_nothing_waiting_is_no_error(resources: Resources, tmp_path: Path) -> None:
    train_oldest(resources)
    assert not (tmp_path / "data" / "artefacts" / "sha256").exists()
