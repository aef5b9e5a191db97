"""What the command says while nobody has begun with what it waits for."""

import io
from collections.abc import Iterator

import pytest

from noisegate.client import Noisegate, cli
from noisegate.client.progress import ProgressDisplay
from noisegate.client.show import console_for
from noisegate.client.waiting import dataset_shown, experiment_shown
from tests.client.peer import Peer, json_reply, peer, problem_reply
from tests.client.samples import dataset, experiment, results

NOTHING_YET = {"queued": 6, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
HELD = {"experiment": "exp_9", "cell": 0, "execution": 1, "epochs": 4, "epochs_done": 2}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    with peer() as running:
        monkeypatch.setenv("NOISEGATE_URL", running.url)
        yield running


def worker(*, alive: bool = True, held: int = 0, processes: int = 2) -> dict[str, object]:
    return {"name": "w", "alive": alive, "processes": processes, "executions": [HELD] * held}


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ([worker(held=2), worker(held=1)], "waiting for a worker: 3 trainings run, in 4 processes"),
        (
            [worker(held=1, processes=1), worker(alive=False, held=2)],
            "waiting for a worker: 1 training runs, in 1 process",
        ),
        ([worker(alive=False)], "waiting for a worker: none is running"),
        ([], "waiting for a worker: none is running"),
    ],
)
def test_a_queued_experiment(
    server: Peer, capsys: pytest.CaptureFixture[str], workers: list[dict[str, object]], words: str
) -> None:
    queued = experiment(state="queued", counts=NOTHING_YET, epochs_done=0, progress=0.0, estimated_finish=None)
    ended = experiment(state="succeeded", progress=1.0, epochs_done=90, estimated_finish=None)
    server.replies("GET", "/experiments/exp_1", json_reply(queued, Retry_After="0"), json_reply(ended))
    server.replies("GET", "/workers", json_reply({"items": workers}))
    server.replies("GET", "/results/exp_1", json_reply(results()))
    assert cli.run(["watch", "exp_1"]) == 0
    assert f"training   0%  {words}\n" in capsys.readouterr().out


def test_what_runs_or_waits_for_its_images_is_shown_as_before(server: Peer) -> None:
    file = io.StringIO()
    awaited = {"id": "der_1", "kind": "view", "state": "running", "images_done": 1, "images": 9}
    with Noisegate(server.url) as client, ProgressDisplay(console_for(file), "training") as progress:
        show = experiment_shown(client, progress)
        show(experiment(state="queued", epochs_done=0, progress=0.0, waits_for=[awaited]))
        show(experiment())
    assert file.getvalue().splitlines()[0] == "training   0%  view of 1 of 9 images"
    assert server.requests == [], "nobody is asked in vain"


@pytest.mark.parametrize(
    ("workers", "others", "words"),
    [
        ([worker()], ["ingesting", "ingesting", "ready"], "not begun; 2 other uploads wait or are read"),
        ([worker()], ["ready"], "0 images, ingesting"),
        ([worker(alive=False)], ["ingesting"], "waiting for a worker: none is running"),
    ],
)
def test_an_upload_that_was_not_begun(
    server: Peer, workers: list[dict[str, object]], others: list[str], words: str
) -> None:
    mine = dataset(state="ingesting", images_done=0)
    items = [mine, *(dataset(id=f"ds_{9 - place}", state=state) for place, state in enumerate(others))]
    server.replies("GET", "/workers", json_reply({"items": workers}))
    server.replies("GET", "/datasets", json_reply({"items": items, "next_cursor": None}))
    file = io.StringIO()
    with Noisegate(server.url) as client, ProgressDisplay(console_for(file), "reading") as progress:
        dataset_shown(client, progress)(mine)
    assert file.getvalue() == f"reading   0%  {words}\n"


def test_a_service_that_does_not_say_ends_no_waiting(server: Peer) -> None:
    server.replies("GET", "/workers", problem_reply(403, "forbidden"))
    file = io.StringIO()
    with Noisegate(server.url) as client, ProgressDisplay(console_for(file), "reading") as progress:
        dataset_shown(client, progress)(dataset(state="ingesting", images_done=0))
    assert file.getvalue() == "reading   0%  0 images, ingesting\n"
