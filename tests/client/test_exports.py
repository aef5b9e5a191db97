"""Experiments in MLflow and TensorBoard, read back by their own packages."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import mlflow
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from noisegate.client import Noisegate, cli
from noisegate.rejection import SCORES
from noisegate.rejection.scores import KnownLogits, TrainingAnswers
from noisegate.store import executions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from tests.factories import claim_one, failure, outcome
from tests.service.factories import ready_dataset, served_model
from tests.service.test_decision_rules import reference

# MLflow's own tables use what SQLAlchemy 2.1 warns of.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking store of MLflow, whose tables take it seconds to make; artefacts lie beside them."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def experiment(service_settings: Settings, service: str) -> str:
    """Three executions, the last of which failed; and by itself one with a model that calls everything a dog."""
    sessions, artefacts = open_sessions(service_settings), Artefacts(service_settings.artefact_root)
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    served_model(sessions, artefacts, logits=(0, 5, 1))
    with Noisegate(service) as client:
        quantities = {"noise": {"family": "uniform"}, "sweep": {"noise.quantity": [0, 1, 2]}}
        id = client.experiments.create(quantities, dataset="pets", training={"epochs": 3}, executions=1).id
    for losses in ([3.0, 2.0, 1.0], [2.5, 2.0]):
        with sessions.begin() as session:
            _, lease = claim_one(session)
            executions.record_success(session, lease, replace(outcome(0.8), losses_by_epoch=losses))
    with sessions.begin() as session:
        _, lease = claim_one(session)
        executions.record_failure(session, lease, failure())
    sessions.close()
    return id


def test_event_files_hold_losses_metrics_and_parameters(experiment: str, service: str, tmp_path: Path) -> None:
    for _ in range(2):
        assert cli.run(["export", "tensorboard", experiment, "--into", str(tmp_path / "logs")]) == 0
    folders = sorted(path.parent for path in (tmp_path / "logs").rglob("events.out.tfevents.*"))
    assert [folder.relative_to(tmp_path / "logs" / experiment).as_posix() for folder in folders] == [
        "cell-0/execution-0", "cell-1/execution-0", "cell-2/execution-0"
    ]  # fmt: skip
    first = EventAccumulator(str(folders[0])).Reload()
    assert [(event.step, event.value) for event in first.Scalars("loss")] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert first.Scalars("accuracy")[0].value == pytest.approx(0.8)
    assert "loss" not in EventAccumulator(str(folders[2])).Reload().Tags()["scalars"]


@pytest.mark.nightly
def test_runs_hold_params_metrics_and_curves(
    experiment: str, service: str, tracking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["export", "mlflow", experiment, "--tracking-uri", tracking]) == 0
    assert "3 runs written, 0 were there." in capsys.readouterr().out
    to = mlflow.MlflowClient(tracking)
    (found,) = [one for one in to.search_experiments() if one.name == f"noisegate/{experiment}"]
    runs = {run.data.params["cell"]: run for run in to.search_runs([found.experiment_id])}
    assert {cell: run.info.status for cell, run in runs.items()} == {"0": "FINISHED", "1": "FINISHED", "2": "FAILED"}
    first = runs["0"]
    assert (first.data.params["training.epochs"], first.data.params["dataset"]) == ("3", "pets")
    assert first.data.metrics["accuracy"] == pytest.approx(0.8)
    history = to.get_metric_history(first.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert cli.run(["export", "mlflow", experiment, "--tracking-uri", tracking, "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"run"')]
    assert [one["is_new"] for one in told] == [False] * 3


@pytest.mark.nightly
def test_a_model_decides_in_mlflow_as_on_the_service(
    experiment: str, service: str, tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Noisegate(service) as client:
        model = client.models.get("default")
        assert cli.run(["export", "mlflow", model.experiment, "--tracking-uri", tracking]) == 0
        images = np.random.default_rng(0).integers(0, 256, (3, model.image_size, model.image_size, 3), dtype=np.uint8)
        decisions = [client.models.classify(image) for image in images]
    to = mlflow.MlflowClient(tracking)
    known = to.get_experiment_by_name(f"noisegate/{model.experiment}")
    (run,) = to.search_runs([known.experiment_id])
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    answers = loaded.predict(images)
    assert answers["label"].tolist() == [one.label for one in decisions]
    assert answers["rejected"].tolist() == [one.rejected for one in decisions]
    assert np.allclose(answers["reject_score"], [one.reject_score for one in decisions], atol=1e-7)
    assert answers["threshold"].tolist() == [one.threshold for one in decisions]
    assert loaded.predict(images, params={"threshold": 1e-9})["rejected"].all()
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, model.image_size, model.image_size, 3)
    assert not list(tmp_path.rglob("*.pkl")), "nothing is pickled"
    assert mlflow.onnx.load_model(f"runs:/{run.info.run_id}/onnx").graph.input[0].name == "images"


@pytest.mark.nightly
def test_a_rule_of_several_scores_goes_with_the_model(
    service_settings: Settings, service: str, experiment: str, tracking: str
) -> None:
    sessions, artefacts = open_sessions(service_settings), Artefacts(service_settings.artefact_root)
    id = served_model(sessions, artefacts, reference=reference())
    with Noisegate(service) as client:
        client.models.set_decision(id, "reject_score", "knn")
        model = client.models.get(id)
        assert cli.run(["export", "mlflow", model.experiment, "--tracking-uri", tracking]) == 0
        colours = np.array([[100, 100, 100], [200, 10, 10], [40, 100, 160]], np.uint8)
        images = np.broadcast_to(colours[:, np.newaxis, np.newaxis], (3, model.image_size, model.image_size, 3)).copy()
        decisions = [client.models.classify(image, model=id) for image in images]
    to = mlflow.MlflowClient(tracking)
    known = to.get_experiment_by_name(f"noisegate/{model.experiment}")
    (run,) = to.search_runs([known.experiment_id])
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    answers = loaded.predict(images)
    assert answers["rejected"].tolist() == [one.rejected for one in decisions] == [False, True, True]
    assert answers["reason"].tolist() == [one.reason or "" for one in decisions]
    bounds = {one.score: one.threshold for one in decisions[0].rule or []}
    assert answers["threshold"].tolist() == [bounds["reject_score"]] * 3
    assert decisions[0].max_false_reject == 0.05
    assert answers["threshold_knn"].tolist() == [bounds["knn"]] * 3
    assert np.allclose(answers["score_knn"], [one.scores["knn"].value for one in decisions], atol=1e-6)
    assert loaded.metadata.metadata["decision"]["decides"].startswith("rejected if reject_score is higher than")
    with pytest.raises(ValueError, match="decides by reject_score and knn"):
        loaded.predict(images, params={"threshold": 0.5})


@pytest.mark.parametrize("name", SCORES)
def test_each_score_is_the_services_to_the_bit(name: str) -> None:
    """All that there are: one that is added here has to be computed there, too."""
    served = import_module("noisegate.client.exports.served")  # of MLflow, which warns as it is imported
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(40, 5)).astype(np.float32)
    features = generator.normal(size=(40, 16)).astype(np.float32)
    scorer = SCORES[name]
    trained = TrainingAnswers(logits[:30, :4], features[:30], np.arange(30) % 4)
    fitted = scorer.fit(trained)
    kept = {scorer.file_key(array): values for array, values in fitted.items()}
    score, higher_is_unknown, reason = served.SCORES[name]
    found = score(served.Answers(logits, features, 4, kept))
    np.testing.assert_array_equal(found, scorer.value(KnownLogits(logits[:, :4]), features, fitted))
    assert (higher_is_unknown, reason) == (not scorer.higher_is_known, scorer.reason)


def test_without_the_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("noisegate.client.commands.exporting.find_spec", lambda _: None)
    assert cli.run(["export", "mlflow", "exp_1", "--tracking-uri", "sqlite://"]) == 1
    assert capsys.readouterr().err == "The package mlflow is not installed: pip install 'noisegate[mlflow]'.\n"
