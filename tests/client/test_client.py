"""Both clients and a peer that speaks the contract over a real socket."""

import inspect
import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from noisegate.client import (
    AsyncNoisegate,
    ClientError,
    Conflict,
    InvalidRequest,
    Noisegate,
    NotAllowed,
    NotFound,
    ProblemError,
    ServiceFailed,
    ServiceUnreachable,
    TooManyRequests,
    UnexpectedAnswer,
    UnusableFile,
    WaitedTooLong,
)
from noisegate.client.fronts import Resource
from noisegate.noise import UniformNoise
from noisegate.spec import TrainingExperiment
from tests.client.asking import Asking
from tests.client.images import png
from tests.client.peer import Peer, Reply, json_reply, peer, problem_reply
from tests.client.samples import dataset, decision, experiment, results


@pytest.fixture
def server() -> Iterator[Peer]:
    with peer() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: Peer) -> Asking:
    return Asking(request.param, server.url)


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def namespaces(client: object) -> dict[str, Any]:
    found = {name: value for name, value in vars(client).items() if isinstance(value, Resource)}
    return {"": client, **found}


def methods(client: object) -> dict[tuple[str, str], inspect.Signature]:
    """Every method of a client and its namespaces."""
    found = {
        (name, method): getattr(namespace, method)
        for name, namespace in namespaces(client).items()
        for method in dir(namespace)
        if not method.startswith("_") and method != "close"
    }
    return {key: inspect.signature(value) for key, value in found.items() if inspect.isroutine(value)}


def test_both_clients_have_the_same_methods() -> None:
    synchronous, asynchronous = methods(Noisegate()), methods(AsyncNoisegate())
    assert len(synchronous) > 35
    assert synchronous == asynchronous


def test_importing_it_is_cheap_and_needs_few_packages() -> None:
    program = (
        "import sys, time; began = time.process_time(); import noisegate.client; print(time.process_time() - began);"
        "print([name for name in sys.modules if name.partition('.')[0] in"
        " ('torch', 'sqlalchemy', 'celery', 'numpy', 'PIL', 'pandas', 'rich', 'fastapi', 'scipy', 'yaml')])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(2)
    ]
    seconds, modules = zip(*(run.stdout.splitlines() for run in runs), strict=True)
    assert set(modules) == {"[]"}
    assert min(map(float, seconds)) <= 0.3


def test_a_refused_connection_asks_whether_it_is_running(ask: Asking) -> None:
    ask.url = nobody()
    with pytest.raises(ServiceUnreachable) as caught:
        ask(lambda client: client.experiments.get("exp_1"))
    assert str(caught.value).startswith(f"No answer from {ask.url}: ")
    assert str(caught.value).endswith("Is `noisegate up` running?")
    assert ask.naps == []


def test_a_problem_tells_each_field_with_its_remedy(server: Peer, ask: Asking) -> None:
    errors = [
        {"field": "training.epochs", "message": "is 900; this server allows 500", "remedy": "Ask for at most 500."},
        {"field": "network", "message": "Input should be 'paper'", "remedy": None},
    ]
    reply = problem_reply(422, "invalid-spec", title="The experiment spec has errors", errors=errors)
    server.replies("POST", "/experiments", reply)
    with pytest.raises(InvalidRequest) as caught:
        ask(lambda client: client.experiments.create({"dataset": "digits"}))
    assert caught.value.status == 422
    assert caught.value.code == "invalid-spec"
    assert caught.value.errors[0].remedy == "Ask for at most 500."
    assert str(caught.value) == (
        "The experiment spec has errors (422 invalid-spec)\n"
        "  training.epochs: is 900; this server allows 500. Ask for at most 500.\n"
        "  network: Input should be 'paper'."
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidRequest), (401, NotAllowed), (403, NotAllowed), (404, NotFound), (409, Conflict), (413, InvalidRequest),
     (415, InvalidRequest), (422, InvalidRequest), (429, TooManyRequests), (500, ServiceFailed), (507, ServiceFailed)],
)  # fmt: skip
def test_each_status_has_an_exception(server: Peer, status: int, kind: type[ProblemError]) -> None:
    server.replies("GET", "/models/default", problem_reply(status, "code"))
    ask = Asking("sync", server.url, {"max_retries": 0})
    with pytest.raises(kind) as caught:
        ask(lambda client: client.models.get("default"))
    assert type(caught.value) is kind


def test_a_problem_without_fields_shows_its_detail(server: Peer, ask: Asking) -> None:
    reply = problem_reply(404, "not-found", title="No such thing", detail="There is no experiment exp_9.")
    server.replies("GET", "/experiments/exp_9", reply)
    with pytest.raises(NotFound) as caught:
        ask(lambda client: client.experiments.get("exp_9"))
    assert str(caught.value) == "No such thing (404 not-found)\n  There is no experiment exp_9."
    assert len(server.requests) == 1


def test_an_error_from_something_in_between_is_shown_too(server: Peer, ask: Asking) -> None:
    server.replies("GET", "/results/exp_1", Reply(502, b"Bad Gateway", {"Content-Type": "text/plain"}))
    with pytest.raises(ServiceFailed, match="Bad Gateway") as caught:
        ask(lambda client: client.experiments.results("exp_1"))
    assert caught.value.code == "http-502"


def test_an_answer_that_is_no_json_is_not_ours(server: Peer, ask: Asking) -> None:
    server.replies("GET", "/results/exp_1", Reply(200, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(UnexpectedAnswer, match="text/html where JSON belongs"):
        ask(lambda client: client.experiments.results("exp_1"))


def test_an_answer_that_cannot_be_read_says_where(server: Peer, ask: Asking) -> None:
    server.replies("GET", "/results/exp_1", json_reply(results().document() | {"rows": [{"cell": "first"}]}))
    with pytest.raises(UnexpectedAnswer, match=r"rows\.0\.cell that this client cannot read .* another version"):
        ask(lambda client: client.experiments.results("exp_1"))


def test_what_a_newer_service_adds_is_kept(server: Peer, ask: Asking) -> None:
    newer = experiment().document() | {"state": "paused", "mood": {"is": "good"}}
    server.replies("GET", "/experiments/exp_1", json_reply(newer))
    found = ask(lambda client: client.experiments.get("exp_1"))
    assert (found.state, found.mood, found["mood"]) == ("paused", {"is": "good"}, {"is": "good"})
    assert found.document() == newer


def test_an_address_that_is_none() -> None:
    with pytest.raises(ClientError, match="no address"):
        Noisegate("http://[::1")


def test_what_passes_is_asked_again_with_growing_pauses(server: Peer, ask: Asking) -> None:
    away = problem_reply(503, "unavailable")
    server.replies("GET", "/experiments/exp_1", away, None, json_reply(experiment()))
    assert ask(lambda client: client.experiments.get("exp_1")).id == "exp_1"
    first, second = ask.naps
    assert 0.25 <= first <= 0.5 <= second <= 1


def test_how_long_to_wait_is_said_by_the_service(server: Peer, ask: Asking) -> None:
    busy = Reply(429, b"{}", {"Content-Type": "application/problem+json", "Retry-After": "7"})
    server.replies("GET", "/models/default", busy, busy, busy)
    with pytest.raises(TooManyRequests) as caught:
        ask(lambda client: client.models.get("default"))
    assert (ask.naps, caught.value.retry_after_seconds) == ([7.0, 7.0], 7.0)


def test_what_would_be_done_twice_is_not_sent_again(server: Peer, ask: Asking) -> None:
    """A deletion whose answer was lost would say that there is no such thing; one that was refused may be sent again."""
    server.replies("DELETE", "/experiments/exp_1", None, problem_reply(404, "not-found"))
    with pytest.raises(ServiceUnreachable):
        ask(lambda client: client.experiments.delete("exp_1"))
    assert len(server.requests) == 1
    gone = {"cells": 2, "executions": 6, "models": [], "files": 3}
    server.instead("DELETE", "/experiments/exp_1", problem_reply(503, "unavailable"), json_reply(gone))
    assert ask(lambda client: client.experiments.delete("exp_1")).executions == 6


@pytest.mark.parametrize(
    ("file_name", "content_type"),
    [
        ("a.zip", "application/zip"),
        ("a.tar", "application/x-tar"),
        ("a.tar.gz", "application/gzip"),
        ("a.TGZ", "application/gzip"),
        ("a.tar.xz", "application/x-xz"),
        ("a.bin", "application/octet-stream"),
    ],
)
def test_an_archive_is_sent_as_it_is(
    server: Peer, ask: Asking, tmp_path: Path, file_name: str, content_type: str
) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / file_name).write_bytes(content)
    server.replies("POST", "/datasets", json_reply(dataset(state="ingesting"), 202))
    heard: list[tuple[int, int]] = []
    options = {"name": "mine", "image_size": 64, "progress": lambda sent, total: heard.append((sent, total))}
    answer = ask(lambda client: client.datasets.upload(tmp_path / file_name, **options))
    (request,) = server.requests
    assert answer.id == "ds_1"
    assert request.body == content
    assert request.headers["Content-Type"] == content_type
    assert request.query == {"name": "mine", "image_size": "64"}
    assert heard[-1] == (len(content), len(content))
    assert len(heard) > 1


def test_an_upload_that_broke_is_sent_again_whole_under_its_key(server: Peer, ask: Asking, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(bytes(10_000))
    server.replies("POST", "/datasets", None, json_reply(dataset(), 202))
    assert ask(lambda client: client.datasets.upload(tmp_path / "a.zip")).id == "ds_1"
    first, second = server.requests
    assert first.body == second.body == bytes(10_000)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_an_export_is_written_whole_or_leaves_what_was_there(server: Peer, ask: Asking, tmp_path: Path) -> None:
    into = tmp_path / "pets.zip"
    away = Reply(503, b"away", {"Content-Type": "text/plain"})
    server.replies("GET", "/datasets/pets/export.zip", away, Reply(200, bytes(300_000)))
    assert ask(lambda client: client.datasets.export("pets", into, ids=[3, 4], budget=0.1)) == into
    assert into.read_bytes() == bytes(300_000)
    assert server.requests[0].query == {"ids": "3,4", "budget": "0.1"}
    server.instead("GET", "/datasets/pets/export.zip", problem_reply(404, "not-found"))
    with pytest.raises(NotFound):
        ask(lambda client: client.datasets.export("pets", into))
    assert into.read_bytes() == bytes(300_000)
    assert list(tmp_path.iterdir()) == [into]
    with pytest.raises(UnusableFile, match="cannot be written: "):
        ask(lambda client: client.datasets.export("pets", tmp_path / "gone" / "pets.zip"))
    with pytest.raises(UnusableFile, match="cannot be written: "):
        ask(lambda client: client.datasets.export("pets", tmp_path))


def test_a_missing_archive_is_named(ask: Asking, tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match=r"gone.zip cannot be read: No such file"):
        ask(lambda client: client.datasets.upload(tmp_path / "gone.zip"))


def test_a_source_is_asked_for_without_what_was_not_said(server: Peer, ask: Asking) -> None:
    server.replies("POST", "/datasets", json_reply(dataset(state="ingesting"), 202))
    ask(lambda client: client.datasets.fetch("cifar10"))
    assert json.loads(server.requests[0].body) == {"source": "cifar10"}


def test_a_spec_travels_whole(server: Peer, ask: Asking) -> None:
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    spec = TrainingExperiment(dataset="digits", noise=UniformNoise(family="uniform"))
    ask(lambda client: client.experiments.create(spec))
    assert TrainingExperiment.model_validate_json(server.requests[0].body) == spec


def test_a_preset_with_what_stands_beside_it(server: Peer, ask: Asking) -> None:
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    ask(lambda client: client.experiments.create(preset="table-3", scale="smoke", dataset="digits"))
    assert json.loads(server.requests[0].body) == {"preset": "table-3", "scale": "smoke", "dataset": "digits"}
    with pytest.raises(TypeError, match="either a spec or the name of a preset"):
        ask(lambda client: client.experiments.create({"dataset": "digits"}, preset="table-3"))


def test_an_answer_that_got_lost_is_asked_for_again_under_the_same_key(server: Peer, ask: Asking) -> None:
    lost, away = None, problem_reply(503, "database-away")
    in_flight = problem_reply(409, "in-flight")
    server.replies("POST", "/experiments", lost, in_flight, away, json_reply(experiment(), 202))
    assert ask(lambda client: client.experiments.create({"dataset": "digits"}, time_limit=60)).id == "exp_1"
    keys = {request.headers["Idempotency-Key"] for request in server.requests}
    # The first connection ended before anything had ever answered.
    assert (len(server.requests), len(ask.naps), len(keys)) == (4, 3, 1)
    assert {request.query["time_limit"] for request in server.requests} == {"60"}
    ask(lambda client: client.experiments.create({"dataset": "digits"}))
    assert server.requests[-1].headers["Idempotency-Key"] not in keys


def test_a_dry_run_says_so_and_has_no_key(server: Peer, ask: Asking) -> None:
    server.replies("POST", "/experiments", json_reply({"cell_count": 2}))
    assert ask(lambda client: client.experiments.plan({"dataset": "digits"})).cell_count == 2
    assert server.requests[0].query == {"dry_run": "true"}
    assert "Idempotency-Key" not in server.requests[0].headers


def test_waiting_polls_as_the_service_asks(server: Peer, ask: Asking) -> None:
    running = json_reply(experiment(), Retry_After="3")
    server.replies("GET", "/experiments/exp_1", running, running, json_reply(experiment(state="succeeded")))
    seen: list[str] = []
    ended = ask(lambda client: client.experiments.wait("exp_1", progress=lambda one: seen.append(one.state)))
    assert ended.state == "succeeded"
    assert seen == ["running", "running", "succeeded"]
    assert ask.naps == [3.0, 3.0]


def test_waiting_ends_when_the_time_is_up(server: Peer, ask: Asking) -> None:
    server.replies("GET", "/experiments/exp_1", json_reply(experiment(), Retry_After="3"))
    with pytest.raises(WaitedTooLong, match=r"has not ended after 10 seconds\. It goes on\.") as caught:
        ask(lambda client: client.experiments.wait("exp_1", timeout=10))
    assert caught.value.last.state == "running"
    assert ask.naps == [3.0, 3.0, 3.0]


def test_waiting_bears_a_short_loss(server: Peer, ask: Asking) -> None:
    away = problem_reply(503, "unavailable")
    server.replies("GET", "/experiments/exp_1", None, *[away] * 5, json_reply(experiment(state="failed")))
    assert ask(lambda client: client.experiments.wait("exp_1")).state == "failed"


def test_waiting_does_not_bear_a_loss_for_ever(ask: Asking) -> None:
    ask.url, ask.options = nobody(), {"patience_seconds": 0.4}
    with pytest.raises(ServiceUnreachable):
        ask(lambda client: client.experiments.wait("exp_1"))
    assert ask.naps


def test_waiting_for_what_does_not_exist_ends_at_once(ask: Asking) -> None:
    with pytest.raises(NotFound):
        ask(lambda client: client.experiments.wait("exp_9"))
    assert not ask.naps


def test_a_failed_dataset_is_an_answer(server: Peer, ask: Asking) -> None:
    failed = json_reply(dataset(state="failed"))
    server.replies("GET", "/datasets/my%20digits", json_reply(dataset(state="ingesting")), failed)
    assert ask(lambda client: client.datasets.wait("my digits")).state == "failed"


def test_a_name_cannot_lead_to_another_path(server: Peer, ask: Asking) -> None:
    with pytest.raises(NotFound):
        ask(lambda client: client.datasets.get("../experiments?x=1"))
    assert server.requests[0].path == "/datasets/..%2Fexperiments%3Fx%3D1"


def test_all_pages_are_read(server: Peer, ask: Asking) -> None:
    pages = [
        {"items": [{"id": "exe_1"}, {"id": "exe_2"}], "next_cursor": "two"},
        {"items": [{"id": "exe_3"}], "next_cursor": None},
    ]
    server.replies("GET", "/experiments/exp_1/executions", *map(json_reply, pages))
    found = ask(lambda client: client.experiments.executions("exp_1"))
    assert [one.id for one in found] == ["exe_1", "exe_2", "exe_3"]
    assert [request.query.get("cursor") for request in server.requests] == [None, "two"]


def test_all_events_are_read(server: Peer, ask: Asking) -> None:
    event = {"number": 1, "type": "queued", "at": "2026-11-22T10:00:00Z", "data": {}}
    pages = [{"items": [event], "last": 1, "ended": False}, {"items": [], "last": 1, "ended": False}]
    server.replies("GET", "/experiments/exp_1/events", *map(json_reply, pages))
    assert [one.type for one in ask(lambda client: client.experiments.events("exp_1"))] == ["queued"]
    assert [request.query["after"] for request in server.requests] == ["0", "1"]


def test_results_as_csv(server: Peer, ask: Asking) -> None:
    text = Reply(200, "cell,σ\n0,1\n".encode(), {"Content-Type": "text/csv; charset=utf-8"})
    server.replies("GET", "/results/exp_1", text)
    assert ask(lambda client: client.experiments.results_csv("exp_1")) == "cell,σ\n0,1\n"
    assert server.requests[0].headers["Accept"] == "text/csv"


def test_an_image_is_classified_from_a_file_and_from_memory(server: Peer, ask: Asking, tmp_path: Path) -> None:
    server.replies("POST", "/classify", json_reply(decision()))
    (tmp_path / "seven.png").write_bytes(b"png")
    assert ask(lambda client: client.models.classify(tmp_path / "seven.png")).label == "7"
    ask(lambda client: client.models.classify(b"png", model="mod_1", max_false_reject=0.01))
    assert [request.body for request in server.requests] == [b"png", b"png"]
    assert [request.query for request in server.requests] == [
        {"model": "default"},
        {"model": "mod_1", "max_false_reject": "0.01"},
    ]


def classified(image: Any, client: Any) -> Any:
    return client.models.classify(image)


def test_arrays_and_pillow_images_arrive_pixel_by_pixel(server: Peer, ask: Asking) -> None:
    server.replies("POST", "/classify", json_reply(decision()))
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    for image in (pixels, pixels[:, :, 0], Image.fromarray(pixels)):
        ask(partial(classified, image))
        arrived = np.asarray(Image.open(io.BytesIO(server.requests[-1].body)))
        assert np.array_equal(arrived, np.asarray(image))
    for wrong in (pixels.astype(np.float32), pixels[0, 0], pixels[:, :, :2]):
        with pytest.raises(UnusableFile, match="is no image: height × width"):
            ask(partial(classified, wrong))
    with pytest.raises(TypeError, match="and not int"):
        ask(lambda client: client.models.classify(3))


def test_many_images_are_few_requests_and_numbered_through(server: Peer, ask: Asking, tmp_path: Path) -> None:
    (tmp_path / "Käfer.png").write_bytes(png(1))
    lines = [{"index": number, "classification": decision(), "problem": None} for number in range(64)]
    body = [b"\n".join(json_reply(line).body for line in some) for some in (lines, lines[:6])]
    server.replies("POST", "/classify/batch", *(Reply(200, text) for text in body))
    images = [tmp_path / "Käfer.png", *[png(2)] * 69]
    found = ask(lambda client: client.models.classify_many(images))
    assert [line.index for line in found] == list(range(70))
    assert [request.body.count(b"PNG") for request in server.requests] == [64, 6]


def test_minimal_answers_of_one_image_and_of_many(server: Peer, ask: Asking) -> None:
    minimal = {"label": "dog", "probability": 0.9, "rejected": True, "reason": "low_confidence"}
    line = {"index": 0, "name": "a", "classification": minimal, "problem": None}
    server.replies("POST", "/classify", json_reply(minimal))
    server.replies("POST", "/classify/batch", json_reply(line))
    one = ask(lambda client: client.models.classify_minimal(png(1), rule="knn"))
    (many,) = ask(lambda client: client.models.classify_many_minimal([png(1)], model="mine"))
    assert one.model_dump() == many.classification.model_dump() == minimal
    assert [request.query for request in server.requests] == [
        {"model": "default", "rule": "knn", "fields": "minimal"},
        {"model": "mine", "fields": "minimal"},
    ]


def test_what_is_no_upload_and_no_list_of_images_is_said_before_anything_is_sent(server: Peer, ask: Asking) -> None:
    for single in ("photos", Path("photos"), png(1)):
        with pytest.raises(TypeError, match="several images"):
            ask(partial(_classify_many, single))
    with pytest.raises(TypeError, match="and not ndarray"):
        ask(lambda client: client.datasets.upload(np.zeros((2, 8, 8, 3), np.uint8)))
    assert server.requests == []


def _classify_many(images: Any, client: Noisegate) -> Any:
    return client.models.classify_many(images)


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "localhost", "", "ftp://localhost", "http://"])
def test_an_address_without_a_protocol_is_refused_at_once(address: str) -> None:
    with pytest.raises(ClientError, match="begins with http"):
        Noisegate(address)


def test_a_spec_may_be_given_field_by_field(server: Peer, ask: Asking) -> None:
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    ask(lambda client: client.experiments.create(dataset="birds", training={"epochs": 3}))
    assert json.loads(server.requests[0].body) == {"dataset": "birds", "training": {"epochs": 3}}
    with pytest.raises(TypeError, match="give a spec, its fields, or"):
        ask(lambda client: client.experiments.create())


def test_an_alias_is_put(server: Peer, ask: Asking) -> None:
    server.replies("PUT", "/aliases/best", json_reply({"name": "best", "model": "mod_1"}))
    assert ask(lambda client: client.aliases.set("best", "mod_1")).model == "mod_1"
    assert json.loads(server.requests[0].body) == {"model": "mod_1"}


def test_an_image_of_a_dataset_comes_with_its_class(server: Peer, ask: Asking) -> None:
    server.replies(
        "GET", "/datasets/digits/images/test/0.png", Reply(200, png(3), {"X-Label": "K%C3%A4fer%20%26%20co"})
    )
    found = ask(lambda client: client.datasets.image("digits", "test", 0))
    assert (found.label, found.image().format) == ("Käfer & co", "PNG")


def test_not_ready_is_an_answer_too(server: Peer, ask: Asking) -> None:
    server.replies("GET", "/readyz", json_reply({"ready": False, "checks": {"broker": "refused"}}, 503))
    found = ask(lambda client: client.readiness())
    assert (found.ready, found.checks, len(server.requests)) == (False, {"broker": "refused"}, 1)


def test_a_problem_kept_with_what_failed_has_no_status() -> None:
    kept = {"code": "worker-lost", "title": "The worker was lost", "detail": "Its lease ran out.", "status": None}
    error = ProblemError.from_document(kept | {"remedy": "Ask for less.", "errors": []})
    assert str(error) == "The worker was lost (worker-lost)\n  Its lease ran out.\n  Ask for less."
