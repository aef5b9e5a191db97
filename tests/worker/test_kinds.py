"""The kinds of experiment besides training, through a worker: what each leaves in its row, and how one fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from noisegate.details import Details
from noisegate.errors import SourceUnavailable
from noisegate.inference.classifier import Classifier
from noisegate.networks.alexnet import load
from noisegate.networks.pretrained import Pretrained
from noisegate.spec import parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import executions, experiments, models, planning
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from tests import factories
from worker.lease import draining
from worker.resources import Resources
from worker.training import train_oldest


def post(resources: Resources, document: dict[str, Any]) -> str:
    with resources.sessions.begin() as session:
        return planning.create(session, planning.plan(session, parse_spec(document), Caps())).id


def run(resources: Resources, document: dict[str, Any]) -> tuple[Experiment, list[Execution]]:
    id = post(resources, document)
    while not look(resources, id)[0].state.terminal:
        train_oldest(resources)
    return look(resources, id)


def look(resources: Resources, id: str) -> tuple[Experiment, list[Execution]]:
    with resources.sessions.reading() as session:
        return experiments.get(session, id), list(executions.of_experiment(session, id))


def details_of(row: Execution) -> Details:
    assert row.details
    return row.details


def test_curves_are_fitted_to_the_same_points_in_every_execution(resources: Resources) -> None:
    experiment, rows = run(resources, {"kind": "curve_fitting", "samples": 500, "iterations": 20, "executions": 2})
    assert experiment.state is State.SUCCEEDED
    assert all(row.metrics is None and row.train_seconds for row in rows)
    curves = [details_of(row).figure["curve"] for row in rows]
    assert curves[0] != curves[1], "initial weights differ"
    assert all(abs((details_of(row).measures["crossing"] or 0) - 0.5) < 0.02 for row in rows)
    assert rows[0].versions is not None
    assert "numpy" in rows[0].versions


def test_decision_maps_have_areas_and_a_picture(resources: Resources) -> None:
    document = {"kind": "decision_map", "points_per_cluster": 50, "epochs": 20, "executions": 1}
    experiment, rows = run(resources, document | {"sweep": {"noise_quantity": [0, 1]}})
    assert experiment.state is State.SUCCEEDED
    without, with_noise = (details_of(row) for row in rows)
    assert without.measures["area_noise"] == 0
    assert (with_noise.measures["area_noise"] or 0) > 0.1
    regions = with_noise.figure["regions"]
    assert isinstance(regions, list)
    assert len(regions) == 101


def test_hybrids_are_asked_of_what_was_trained(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
    spec = factories.shades_spec().model_dump(mode="json") | {"kind": "hybrids", "hybrids": {"pairs": 30}}
    experiment, (row,) = run(resources, spec)
    assert experiment.state is State.SUCCEEDED
    assert row.metrics is not None
    measures = details_of(row).measures
    shares = [measures[name] or 0 for name in ("accepted_as_low", "accepted_as_high", "accepted_as_other", "rejected")]
    assert sum(shares) == pytest.approx(1)


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """AlexNet's weights in torchvision's format, but random."""
    torch.manual_seed(5)
    file = tmp_path / "alexnet.pth"
    torch.save(torchvision.models.AlexNet().state_dict(), file)
    return file


def test_a_pretrained_network_becomes_a_model_that_classifies(
    resources: Resources, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_file(between_chunks: Callable[[], None]) -> Pretrained:
        return load(weights_file, between_chunks)

    monkeypatch.setattr("noisegate.networks.alexnet.load", from_file)
    experiment, (row,) = run(resources, {"kind": "pretrained"})
    assert experiment.state is State.SUCCEEDED, row.error
    with resources.sessions.reading() as session:
        (model,) = models.page(session, experiment_id=experiment.id, cursor=None, limit=9).items
    manifest = model.manifest
    assert (len(manifest.classes), manifest.image_size, manifest.metrics) == (1000, 224, None)
    classifier = Classifier(resources.artefacts.read(model.onnx_digest), manifest)
    (decision,) = classifier.classify(np.full((1, 224, 224, 3), 90, dtype=np.uint8))
    assert decision.known_label in manifest.classes
    assert not decision.calibrated


def test_weights_that_cannot_be_had_fail_the_execution_with_the_remedy(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(between_chunks: Callable[[], None]) -> Pretrained:
        raise SourceUnavailable("no route", field="network", remedy="Put the file there.")

    monkeypatch.setattr("noisegate.networks.alexnet.load", offline)
    experiment, (row,) = run(resources, {"kind": "pretrained"})
    assert (experiment.state, row.state) == (State.FAILED, State.FAILED)
    assert row.error is not None
    assert (row.error.code, row.error.remedy) == ("source-unavailable", "Put the file there.")


def test_a_shutdown_gives_any_kind_back(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    id = post(resources, {"kind": "decision_map", "executions": 1})

    def drain(*arguments: Any) -> Any:
        draining.set()
        arguments[-1]()

    monkeypatch.setattr("worker.kinds.decision_map.map_decisions", drain)
    try:
        train_oldest(resources)
    finally:
        draining.clear()
    _, (row,) = look(resources, id)
    assert (row.state, row.owner, row.losses) == (State.QUEUED, None, 0)
