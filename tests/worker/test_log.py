"""What a worker says and counts of one execution."""

import json

import pytest
from prometheus_client import REGISTRY

from noisegate.logs import configure_logs
from tests import factories
from worker.resources import Resources
from worker.training import train_oldest


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_lines_and_counts_of_one_execution(resources: Resources, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("claims_total", "epoch_seconds_count", "images_trained_total")
    before = {name: REGISTRY.get_sample_value(f"noisegate_{name}") or 0 for name in names}
    ended = REGISTRY.get_sample_value("noisegate_executions_ended_total", {"outcome": "succeeded"}) or 0
    configure_logs("json")
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
        experiment = factories.queued_experiment(session, factories.shades_spec(training={"epochs": 2}))
        id = experiment.cells[0].executions[0].id
    train_oldest(resources)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (claimed,) = [line for line in lines if line["event"] == "claimed"]
    assert (claimed["experiment"], claimed["executions"], claimed["attempt"]) == (experiment.id, [id], 1)
    grown = {name: (REGISTRY.get_sample_value(f"noisegate_{name}") or 0) - before[name] for name in names}
    assert (grown["claims_total"], grown["epoch_seconds_count"]) == (1, 2)
    assert grown["images_trained_total"] > 0
    assert REGISTRY.get_sample_value("noisegate_executions_ended_total", {"outcome": "succeeded"}) == ended + 1
