"""The client and a peer that speaks the contract over a real socket."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from noisegate.client.errors import ClientError, ProblemError, ServiceUnreachable, UnexpectedAnswer, UnusableFile
from noisegate.client.http import Client
from noisegate.noise import UniformNoise
from noisegate.spec import TrainingExperiment
from tests.client.peer import Peer, Reply, json_reply, peer, problem_reply
from tests.client.samples import dataset, decision, experiment


@pytest.fixture
def server() -> Iterator[Peer]:
    with peer() as running:
        yield running


@pytest.fixture
def naps() -> list[float]:
    """The pauses that the client makes between polls, in seconds."""
    return []


@pytest.fixture
def client(server: Peer, naps: list[float]) -> Iterator[Client]:
    with Client(server.url, sleep=naps.append) as client:
        yield client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_refused_connection_asks_whether_it_is_running() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(ServiceUnreachable) as caught:
        client.experiment("exp_1")
    assert str(caught.value) == f"No answer from {url}: Connection refused. Is `noisegate up` running?"


def test_a_problem_tells_each_field_with_its_remedy(server: Peer, client: Client) -> None:
    errors = [
        {"field": "training.epochs", "message": "is 900; this server allows 500", "remedy": "Ask for at most 500."},
        {"field": "network", "message": "Input should be 'paper'", "remedy": None},
    ]
    reply = problem_reply(422, "invalid-spec", title="The experiment spec has errors", errors=errors)
    server.replies("POST", "/experiments", reply)
    with pytest.raises(ProblemError) as caught:
        client.create_experiment({"dataset": "digits"})
    assert caught.value.status == 422
    assert caught.value.code == "invalid-spec"
    assert caught.value.errors[0].remedy == "Ask for at most 500."
    assert str(caught.value) == (
        "The experiment spec has errors (422 invalid-spec)\n"
        "  training.epochs: is 900; this server allows 500. Ask for at most 500.\n"
        "  network: Input should be 'paper'."
    )


def test_a_problem_without_fields_shows_its_detail(server: Peer, client: Client) -> None:
    reply = problem_reply(404, "not-found", title="No such thing", detail="There is no experiment exp_9.")
    server.replies("GET", "/experiments/exp_9", reply)
    with pytest.raises(ProblemError) as caught:
        client.experiment("exp_9")
    assert str(caught.value) == "No such thing (404 not-found)\n  There is no experiment exp_9."


def test_an_error_from_something_in_between_is_shown_too(server: Peer, client: Client) -> None:
    server.replies("GET", "/results/exp_1", Reply(502, b"Bad Gateway", {"Content-Type": "text/plain"}))
    with pytest.raises(ProblemError, match="Bad Gateway") as caught:
        client.results("exp_1")
    assert caught.value.code == "http-502"


def test_an_answer_that_is_no_json_is_not_ours(server: Peer, client: Client) -> None:
    server.replies("GET", "/results/exp_1", Reply(200, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(UnexpectedAnswer, match="text/html where JSON belongs"):
        client.results("exp_1")


def test_an_address_that_is_none() -> None:
    with pytest.raises(ClientError, match="no address"):
        Client("http://[::1")


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
    server: Peer, client: Client, tmp_path: Path, file_name: str, content_type: str
) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / file_name).write_bytes(content)
    server.replies("POST", "/datasets", json_reply(dataset(state="ingesting"), 202))
    heard: list[tuple[int, int]] = []
    answer = client.upload(tmp_path / file_name, "mine", 64, on_bytes=lambda sent, total: heard.append((sent, total)))
    (request,) = server.requests
    assert answer["id"] == "ds_1"
    assert request.body == content
    assert request.headers["Content-Type"] == content_type
    assert request.query == {"name": "mine", "image_size": "64"}
    assert heard[-1] == (len(content), len(content))
    assert len(heard) > 1


def test_a_missing_archive_is_named(client: Client, tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match=r"gone.zip cannot be read: No such file"):
        client.upload(tmp_path / "gone.zip")


def test_a_source_is_asked_for_without_what_was_not_said(server: Peer, client: Client) -> None:
    server.replies("POST", "/datasets", json_reply(dataset(state="ingesting"), 202))
    client.request_source("cifar10")
    assert json.loads(server.requests[0].body) == {"source": "cifar10"}


def test_a_spec_travels_whole(server: Peer, client: Client) -> None:
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    spec = TrainingExperiment(dataset="digits", noise=UniformNoise(family="uniform"))
    client.create_experiment(spec)
    assert TrainingExperiment.model_validate_json(server.requests[0].body) == spec


def test_an_answer_that_got_lost_is_asked_for_again_under_the_same_key(
    server: Peer, client: Client, naps: list[float]
) -> None:
    lost, away = None, problem_reply(503, "database-away")
    in_flight = problem_reply(409, "in-flight")
    server.replies("POST", "/experiments", lost, in_flight, away, json_reply(experiment(), 202))
    assert client.create_experiment({"dataset": "digits"}, time_limit=60)["id"] == "exp_1"
    keys = {request.headers["Idempotency-Key"] for request in server.requests}
    assert (len(server.requests), len(naps), len(keys)) == (4, 3, 1)
    assert {request.query["time_limit"] for request in server.requests} == {"60"}
    client.create_experiment({"dataset": "digits"})
    assert server.requests[-1].headers["Idempotency-Key"] not in keys


def test_nobody_there_is_told_at_once_when_something_is_to_be_created(naps: list[float]) -> None:
    with Client(f"http://127.0.0.1:{free_port()}", sleep=naps.append) as client, pytest.raises(ServiceUnreachable):
        client.create_experiment({"dataset": "digits"})
    assert naps == []


def test_a_dry_run_says_so(server: Peer, client: Client) -> None:
    server.replies("POST", "/experiments", json_reply({"cell_count": 2}))
    assert client.plan_experiment({"dataset": "digits"})["cell_count"] == 2
    assert server.requests[0].query == {"dry_run": "true"}


def test_waiting_polls_as_the_service_asks(server: Peer, client: Client, naps: list[float]) -> None:
    running = json_reply(experiment(), Retry_After="3")
    server.replies("GET", "/experiments/exp_1", running, running, json_reply(experiment(state="succeeded")))
    seen: list[str] = []
    assert client.wait("exp_1", lambda one: seen.append(one["state"]))["state"] == "succeeded"
    assert seen == ["running", "running", "succeeded"]
    assert naps == [3.0, 3.0]


def test_waiting_bears_a_short_loss(server: Peer, client: Client) -> None:
    away = problem_reply(503, "unavailable")
    server.replies("GET", "/experiments/exp_1", None, away, json_reply(experiment(state="failed")))
    assert client.wait("exp_1")["state"] == "failed"


def test_waiting_does_not_bear_a_loss_for_ever() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    naps: list[float] = []
    with Client(url, sleep=naps.append, patience_seconds=0.05) as client, pytest.raises(ServiceUnreachable):
        client.wait("exp_1")
    assert naps


def test_waiting_for_what_does_not_exist_ends_at_once(server: Peer, client: Client, naps: list[float]) -> None:
    with pytest.raises(ProblemError):
        client.wait("exp_9")
    assert not naps


def test_a_failed_dataset_is_an_answer(server: Peer, client: Client) -> None:
    server.replies(
        "GET", "/datasets/my%20digits", json_reply(dataset(state="ingesting")), json_reply(dataset(state="failed"))
    )
    assert client.wait_for_dataset("my digits")["state"] == "failed"


def test_a_name_cannot_lead_to_another_path(server: Peer, client: Client) -> None:
    with pytest.raises(ProblemError):
        client.dataset("../experiments?x=1")
    assert server.requests[0].path == "/datasets/..%2Fexperiments%3Fx%3D1"


def test_all_pages_are_read(server: Peer, client: Client) -> None:
    first = json_reply({"items": [{"id": "exe_1"}, {"id": "exe_2"}], "next_cursor": "two"})
    server.replies(
        "GET", "/experiments/exp_1/executions", first, json_reply({"items": [{"id": "exe_3"}], "next_cursor": None})
    )
    assert [one["id"] for one in client.executions("exp_1")] == ["exe_1", "exe_2", "exe_3"]
    assert [request.query.get("cursor") for request in server.requests] == [None, "two"]


def test_results_as_csv(server: Peer, client: Client) -> None:
    server.replies(
        "GET", "/results/exp_1", Reply(200, "cell,σ\n0,1\n".encode(), {"Content-Type": "text/csv; charset=utf-8"})
    )
    assert client.results_csv("exp_1") == "cell,σ\n0,1\n"
    assert server.requests[0].headers["Accept"] == "text/csv"


def test_an_image_is_classified_from_a_file_and_from_memory(server: Peer, client: Client, tmp_path: Path) -> None:
    server.replies("POST", "/classify", json_reply(decision()))
    (tmp_path / "seven.png").write_bytes(b"png")
    assert client.classify(tmp_path / "seven.png")["label"] == "7"
    client.classify(b"png", model="mod_1", max_false_reject=0.01)
    assert [request.body for request in server.requests] == [b"png", b"png"]
    assert [request.query for request in server.requests] == [
        {"model": "default"},
        {"model": "mod_1", "max_false_reject": "0.01"},
    ]


def test_an_alias_is_put(server: Peer, client: Client) -> None:
    server.replies("PUT", "/aliases/best", json_reply({"name": "best", "model": "mod_1", "updated_at": "now"}))
    assert client.set_alias("best", "mod_1")["model"] == "mod_1"
    assert json.loads(server.requests[0].body) == {"model": "mod_1"}


def test_an_image_of_a_dataset_comes_with_its_class(server: Peer, client: Client) -> None:
    server.replies(
        "GET", "/datasets/digits/images/test/0.png", Reply(200, b"png", {"X-Label": "K%C3%A4fer%20%26%20co"})
    )
    assert client.dataset_image("digits", "test", 0) == (b"png", "Käfer & co")


def test_not_ready_is_an_answer_too(server: Peer, client: Client) -> None:
    server.replies("GET", "/readyz", json_reply({"ready": False, "checks": {"broker": "refused"}}, 503))
    assert client.readiness() == {"ready": False, "checks": {"broker": "refused"}}


def test_a_problem_kept_with_what_failed_has_no_status() -> None:
    kept = {"code": "worker-lost", "title": "The worker was lost", "detail": "Its lease ran out.", "status": None}
    error = ProblemError.from_document(kept | {"remedy": "Ask for less.", "errors": []})
    assert str(error) == "The worker was lost (worker-lost)\n  Its lease ran out.\n  Ask for less."
