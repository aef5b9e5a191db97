"""One trace from POST to result, through service and worker, as a collector gets it. Its parts are in tests/test_tracing.py."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from noisegate.local import running as local

CALLER_TRACE, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "what nobody else is to read"


@dataclass(frozen=True)
class Seen:
    """A span as it came."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    failed: bool


@contextmanager
def collector() -> Iterator[tuple[str, list[Seen]]]:
    """The address of what takes spans by HTTP, and those that have come."""
    seen: list[Seen] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.extend(spans_of(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def spans_of(request: Any) -> Iterator[Seen]:
    for resource in request.resource_spans:
        (service,) = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes},
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    span.status.code == Status.STATUS_CODE_ERROR,
                )


@pytest.mark.nightly
def test_one_trace_from_post_to_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as (url, seen):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with local.running(tmp_path / "data", 0, 1) as up, up.client() as client:
            client.datasets.wait("digits")
            experiment = _post(up.url, {"name": SECRET, "training": {"epochs": 1, "first_layer_std": 0.1}})
            assert client.experiments.wait(experiment)["state"] == "succeeded"
            executions = {one["id"] for one in client.experiments.executions(experiment)}
            client.experiments.results(experiment)
            # Its loss is no number: the trace says that it failed, and of what type the error was.
            failing = _post(up.url, {"executions": 1, "training": {"epochs": 1, "learning_rate": 1e30}})
            assert client.experiments.wait(failing)["state"] == "failed"
        _expect_one_trace(seen, experiment, executions)
        failed = [one for one in seen if one.failed]
        assert {one.attributes["error.type"] for one in failed} == {"TrainingDiverged"}
        assert {one.name for one in failed} == {"noisegate.execution", "noisegate.finish"}
        assert not [one for one in seen if one.attributes.get("url.path") in ("/readyz", "/livez")]
        assert SECRET not in str(seen)


def _post(url: str, changes: dict[str, Any]) -> str:
    spec = {"dataset": "digits", "executions": 2, "noise": None, **changes}
    headers = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"}
    answer = httpx2.post(f"{url}/experiments", json=spec, headers=headers)
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    return id


def _expect_one_trace(seen: list[Seen], experiment: str, executions: set[str]) -> None:
    posted = min((one for one in seen if one.name == "POST /experiments"), key=lambda one: one.began)
    assert (posted.service, posted.trace, posted.parent) == ("noisegate-service", CALLER_TRACE, CALLER_SPAN)
    assert posted.attributes["http.response.status_code"] == 202

    claims = [one for one in seen if one.attributes.get("noisegate.experiment") == experiment]
    assert {(one.service, one.name, one.trace, one.parent) for one in claims} == {
        ("noisegate-worker", "noisegate.claim", CALLER_TRACE, posted.id)
    }
    below = {one.id: one for one in claims}
    stages = [one for one in seen if one.parent in below]
    assert {one.name for one in stages} == {"noisegate.prepare", "noisegate.train", "noisegate.execution"}
    ran = [one for one in stages if one.name == "noisegate.execution"]
    assert sorted(one.attributes["noisegate.execution"] for one in ran) == sorted(executions)
    for one in ran:
        parts = {part.name: part for part in seen if part.parent == one.id}
        assert set(parts) == {"noisegate.finish", "noisegate.record"}
        claim = below[one.parent]
        assert claim.began <= one.began <= parts["noisegate.finish"].began <= parts["noisegate.finish"].ended
        assert parts["noisegate.finish"].ended <= parts["noisegate.record"].ended <= one.ended <= claim.ended

    for name in ("GET /results/{experiment_id}", "GET /experiments/{experiment_id}"):
        asked = [one for one in seen if one.name == name and experiment in one.attributes["url.path"]]
        assert asked
        assert all(one.links == [(CALLER_TRACE, posted.id)] and one.trace != CALLER_TRACE for one in asked), name
