"""What /metrics says after some requests."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.service.conftest import run_client
from tests.service.factories import png_bytes, ready_dataset, served_model
from tests.service.graphs import fails_on_white
from tests.service.traffic import encoded, stored_model

PNG = {"Content-Type": "image/png"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(client: TestClient) -> Samples:
    """Every sample there is, by name and labels, as Prometheus' own parser reads it."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


@pytest.fixture
def grown(client: TestClient) -> Callable[..., float]:
    """How much a sample has grown since the test began: the counts are the process', not the application's."""
    before = samples(client)

    def since(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return samples(client).get(key, 0) - before.get(key, 0)

    return since


def classify(client: TestClient, model: str = "default", times: int = 1, **request: Any) -> None:
    for _ in range(times):
        client.post(f"/classify?model={model}", **(request or {"content": png_bytes(), "headers": PNG}))


def test_decisions_by_their_outcome(
    client: TestClient, model: str, sessions: Sessions, artefacts: Artefacts, grown: Callable[..., float]
) -> None:
    noisy = served_model(sessions, artefacts, logits=[0, 0, 9])
    doubtful = served_model(sessions, artefacts, logits=[0.1, 0, 0.1])
    classify(client, model, 5)
    classify(client, noisy, 3)
    client.post(f"/classify?model={doubtful}&max_false_reject=1", content=png_bytes(), headers=PNG)
    assert grown("noisegate_decisions_total", outcome="accepted") == 5
    assert grown("noisegate_decisions_total", outcome="rejected_noise") == 3
    assert grown("noisegate_decisions_total", outcome="rejected_low_confidence") == 1
    for stage in ("decode", "queue", "predict"):
        assert grown("noisegate_classify_stage_seconds_count", stage=stage) == 9
        assert 0 < grown("noisegate_classify_stage_seconds_sum", stage=stage) < 9


def test_batches_and_their_sizes(client: TestClient, model: str, grown: Callable[..., float]) -> None:
    client.post("/classify/batch", files=[("images", ("a", png_bytes()))] * 100)
    assert grown("noisegate_classify_batch_size_sum") == 100
    assert 4 <= grown("noisegate_classify_batch_size_count") < 100
    assert grown("noisegate_classify_batch_size_bucket", le="32.0") == grown("noisegate_classify_batch_size_count")
    assert samples(client)["noisegate_classify_queue_depth", frozenset()] == 0
    assert grown("noisegate_decisions_total", outcome="accepted") == 100


def test_what_is_refused_is_no_decision(client: TestClient, model: str, grown: Callable[..., float]) -> None:
    classify(client, content=b"no image", headers=PNG)
    classify(client, "nobody")
    assert grown("noisegate_decisions_total", outcome="accepted") == 0
    assert grown("noisegate_classify_batch_size_count") == 0


def test_a_model_that_fails_is_no_decision(settings: Settings, sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    stored_model(sessions, artefacts, fails_on_white())
    key = ("noisegate_decisions_total", frozenset({("outcome", "accepted")}))
    with run_client(settings) as client:
        before = samples(client)
        white = encoded(np.full((32, 32, 3), 255, np.uint8))
        assert client.post("/classify", content=white, headers=PNG).status_code == 500
        assert samples(client)[key] == before[key]
        assert samples(client)["noisegate_classify_queue_depth", frozenset()] == 0


def test_loads_and_what_is_loaded(
    client: TestClient, model: str, sessions: Sessions, artefacts: Artefacts, grown: Callable[..., float]
) -> None:
    other = served_model(sessions, artefacts)
    damaged = served_model(sessions, artefacts, logits=[7.0, 1.0])
    with sessions.reading() as session:
        artefacts.delete(models.get(session, damaged).onnx_digest)
    classify(client, model, 3)
    classify(client, other, 3)
    classify(client, damaged)
    assert grown("noisegate_model_loads_total", result="failed") == 1
    assert grown("noisegate_model_loads_total", result="loaded") == 2
    assert grown("noisegate_model_load_seconds_count") == 2
    now = samples(client)
    assert now["noisegate_models_loaded", frozenset()] == 2
    assert now["noisegate_models_bytes", frozenset()] > 2 * 256 * 1024


def test_requests_by_route_and_status(client: TestClient, model: str, grown: Callable[..., float]) -> None:
    classify(client, times=4)
    classify(client, content=b"no image", headers=PNG)
    classify(client, content=b"8BPS", headers={"Content-Type": "image/vnd.adobe.photoshop"})
    for number in range(3):
        client.get(f"/models/mod_{number}")
    client.get("/models")
    client.delete("/classify")
    counted = "noisegate_http_requests_total"
    assert grown(counted, method="POST", route="/classify", status="200") == 4
    assert grown(counted, method="POST", route="/classify", status="422") == 1
    assert grown(counted, method="POST", route="/classify", status="415") == 1
    assert grown(counted, method="DELETE", route="/classify", status="405") == 1
    assert grown(counted, method="GET", route="/models/{reference}", status="404") == 3
    assert grown(counted, method="GET", route="/models", status="200") == 1
    assert grown("noisegate_http_request_seconds_count", route="/classify") >= 6


def test_unknown_paths_and_methods_make_no_series(client: TestClient, grown: Callable[..., float]) -> None:
    counted = "noisegate_http_requests_total"
    client.get("/warm/up")
    client.request("PROPFIND", "/warm/up")
    before = set(samples(client))
    for number in range(50):
        assert client.get(f"/nothing/{number}").status_code == 404
        client.get(f"/classify/{number}")
        client.request(f"X{number}", f"/some/{number}")
    assert set(samples(client)) - before == set()
    assert grown(counted, method="GET", route="unmatched", status="404") == 101
    assert grown(counted, method="other", route="unmatched", status="404") == 51


def test_metrics_count_themselves(client: TestClient, grown: Callable[..., float]) -> None:
    for _ in range(3):
        client.get("/metrics")
    assert grown("noisegate_http_requests_total", method="GET", route="/metrics", status="200") == 4
