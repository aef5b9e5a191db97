"""Dashboard and alerts ask for metrics that there are, and /metrics has what the database holds."""

import json
import re
from pathlib import Path

import sqlalchemy as sa
import yaml
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from noisegate.store import workers
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from tests import factories
from tests.service.factories import ready_dataset
from tests.service.test_metrics import samples
from worker import metrics as of_worker

DEPLOY = Path(__file__).parents[2] / "deploy"
# Prometheus makes these itself.
OF_PROMETHEUS = {"up"}


def exposed_names() -> set[str]:
    """The names of all samples that service and worker may expose, those without a label's value yet included."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    registries = (REGISTRY, of_worker.OF_REAPER)
    return {
        family.name + suffix
        for registry in registries
        for family in registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    }


def expressions() -> list[str]:
    """What every panel and every alert asks."""
    dashboard = json.loads((DEPLOY / "grafana" / "noisegate.json").read_text())
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return asked + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


def asked_names(expressions: list[str]) -> set[str]:
    """Names of metrics in PromQL: of ours all begin alike."""
    return {name for one in expressions for name in re.findall(r"\b(?:noisegate_\w+|up(?=\{))", one)}


def test_dashboard_and_alerts_ask_for_metrics_that_there_are(client: TestClient) -> None:
    of_database = {name for name, _ in samples(client) if name.startswith("noisegate_")}
    there = exposed_names() | of_database | OF_PROMETHEUS
    assert len(asked_names(expressions())) > 20
    assert all(asked_names([one]) for one in expressions())
    assert asked_names(expressions()) - there == set()


def test_sums_that_are_added_or_divided_are_there_before_the_first_event() -> None:
    """Of a series that is not there yet, as that of errors before the first one, a ratio or a sum would be empty, and not 0."""
    combined = [one for one in expressions() if " / " in one or " + " in one]
    selected = [part for one in combined for part in re.findall(r"sum\(\w+\([^)]*\{[^)]*\)\)(.{0,13})", one)]
    assert len(selected) >= 4
    assert set(selected) == {" or vector(0)"}


def test_the_job_that_alerts_ask_for_is_scraped() -> None:
    scraped = {
        job["job_name"]
        for job in yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    }
    asked = {name for one in expressions() for name in re.findall(r'job="([^"]+)"', one)}
    assert asked
    assert asked <= scraped


def test_dashboard_and_alerts_ask_for_labels_that_there_are(client: TestClient) -> None:
    """`name{label="value"}`, where the value stands there as it is: it has to be one that is exposed from the start."""
    exposed = samples(client)
    with_values = {(name, pair) for name, pairs in exposed for pair in pairs}
    with_values |= {("noisegate_reaped_total", ("kind", kind)) for kind in of_worker.REAPER_KINDS}
    with_values |= {
        ("noisegate_http_request_seconds_bucket", ("route", path))
        for path in client.get("/openapi.json").json()["paths"]
    }
    asked = {
        (name, (label, value))
        for expression in expressions()
        for name, matchers in re.findall(r"\b(noisegate_\w+)\{([^}]*)\}", expression)
        for label, value in re.findall(r'(\w+)="([^"]*)"', matchers)
    }
    assert len(asked) >= 6
    assert asked - with_values == set()


def test_what_the_database_holds(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
        queued = factories.queued_experiment(session, factories.spec(executions=3))
        queued.created_at = queued.created_at.replace(year=queued.created_at.year - 1)
        workers.beat(session, "w1", host="h", device="cpu", processes=1, version="0")
        factories.claim_one(session)
    found = samples(client)
    counts = {
        (name, labels["state"]): value for (name, pairs), value in found.items() if (labels := dict(pairs)).get("state")
    }
    assert found["noisegate_database_up", frozenset()] == 1
    assert found["noisegate_workers_alive", frozenset()] == 1
    assert found["noisegate_oldest_queued_seconds", frozenset()] > 364 * 86_400
    assert counts["noisegate_executions", "queued"] == 5  # two cells of three, one claimed
    assert counts["noisegate_executions", "running"] == 1
    assert counts["noisegate_executions", "failed"] == 0
    assert counts["noisegate_datasets", "ready"] == 1
    assert counts["noisegate_derived", "waiting"] == 0
    assert sum(value for (name, _), value in counts.items() if name == "noisegate_experiments") == 1


def test_without_a_database_the_rest_is_answered(client: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(sa.text("ALTER TABLE workers RENAME TO elsewhere"))
    found = samples(client)
    assert found["noisegate_database_up", frozenset()] == 0
    assert not any(name == "noisegate_executions" for name, _ in found)
    assert any(name == "noisegate_http_requests_total" for name, _ in found)


def test_a_worker_tells_what_its_processes_and_its_parent_counted(tmp_path: Path) -> None:
    of_worker.note_reaped("requeued", ["exe_1", "exe_2"])
    text = generate_latest(_registry_of(tmp_path)).decode()
    found = {
        (one.name, one.labels.get("kind")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    assert found["noisegate_reaped_total", "requeued"] >= 2


def _registry_of(folder: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(of_worker.OfWorker(folder))
    return registry
