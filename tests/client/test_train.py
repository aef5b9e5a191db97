"""`noisegate train`: what it refuses before it sends anything, against a real service; what it prints, against a peer."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from noisegate.client import Noisegate, cli
from noisegate.client.errors import ClientError, UploadInterrupted
from noisegate.client.files import FolderTar
from noisegate.client.folders import find_images
from noisegate.client.options import nested, parse_settings
from noisegate.disk import files_below
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from tests.client.images import fill, png, two_classes
from tests.client.peer import Peer, json_reply, peer, problem_reply
from tests.client.samples import dataset, experiment, results, row
from tests.conftest import PATIENCE, wait_until
from tests.service.factories import TEST_COUNT, TRAIN_COUNT, ready_dataset

PRESET = {
    "specs": {"quick": {"holdout": 0.1, "noise": {"family": "structured", "quantity": 5}, "training": {"epochs": 12}}}
}
MODEL = {"id": "mod_0", "cell": 0, "aliases": ["default"], "holdout_accuracy": 0.9}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(two_classes(tmp_path / "photos"), {"cat/notes.txt": b"", ".DS_Store": b""})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A peer through whose hands a whole training goes."""
    with peer() as running:
        monkeypatch.setenv("NOISEGATE_URL", running.url)
        unknown_dataset = problem_reply(
            404, "not-found", errors=[{"field": "dataset", "message": "no", "remedy": None}]
        )
        running.replies("GET", "/presets/recommended", json_reply(PRESET))
        running.replies("POST", "/datasets", json_reply(dataset(state="ingesting"), 202))
        running.replies("GET", "/workers", json_reply({"items": [{"alive": True}]}))
        running.replies("GET", "/datasets/ds_1", json_reply(dataset(name="pets")))
        running.replies("POST", "/experiments", unknown_dataset, json_reply(experiment(executions=3), 202))
        running.replies("GET", "/experiments/exp_1", json_reply(experiment(state="succeeded", progress=1)))
        running.replies("GET", "/results/exp_1", json_reply(results(rows=[row(0, best_model="mod_0")])))
        running.replies("GET", "/models", json_reply({"items": [MODEL], "next_cursor": None}))
        yield running


def no_dataset_named(url: str, name: str) -> bool:
    with Noisegate(url) as client:
        return all(dataset["name"] != name for dataset in client.datasets.list())


def test_from_a_folder_to_the_line_to_classify_with(
    server: Peer, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", str(photos), "--name", "pets"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"photos: 2 classes, 6 images, 0.0 MB\n  class +train +test *\n  cat +2 +1 *\n  dog +2 +1 *\n", out
    )
    assert "No worker" not in out
    assert "Left out: 1 .txt, 1 hidden (cat/notes.txt is text that was not used).\n" in out
    assert "waiting for a worker" not in out
    assert out.index("Left out") < out.index("upload") < out.index("Dataset pets (ds_1)") < out.index("training")
    assert "accuracy  97.22% ± 0.71 of the test images, 3 executions\n" in out
    assert "rejected  5.00% ± 0.71 of the test images, all of which it should know\n" in out
    assert "model     mod_0\n          is `default`" in out
    assert out.endswith("classify  noisegate classify IMAGE …\n")


def test_json_is_the_results_and_nothing_else(server: Peer, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", str(photos), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["rows"][0]["accuracy"]["mean"] == 0.9722
    assert "photos: 2 classes" in told.err


def test_the_tar_and_the_preset_are_what_is_posted(server: Peer, photos: Path) -> None:
    options = ["--scale", "quick", "--set", "noise.quantity=1", "--set", "training.epochs=3"]
    assert cli.run(["train", str(photos), *options]) == 0
    sent = next(request for request in server.requests if request.path == "/datasets")
    assert sent.headers["Content-Type"] == "application/x-tar"
    assert sent.query == {}
    with tarfile.open(fileobj=io.BytesIO(sent.body)) as tar:
        assert len(tar.getnames()) == 7, "the text goes along: the service decides what it says"
    checked, posted = (json.loads(request.body) for request in server.requests if request.path == "/experiments")
    noise = {"family": "structured", "quantity": 1}
    assert posted == {
        "preset": "recommended", "scale": "quick", "dataset": "ds_1", "noise": noise, "training": {"epochs": 3}
    }  # fmt: skip
    assert {**checked, "dataset": "ds_1"} == posted


def test_what_the_preset_chose_is_printed(server: Peer, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choice = {
        "name": "backbone",
        "title": "A layer",
        "reason": "A layer: the median longer side is 500 pixels, above 96.",
    }
    unknown_dataset = problem_reply(404, "not-found", errors=[{"field": "dataset", "message": "no", "remedy": None}])
    server.instead("POST", "/experiments", unknown_dataset, json_reply(experiment(executions=3, choice=choice), 202))
    assert cli.run(["train", str(photos)]) == 0
    assert (
        "Experiment exp_1: 3 executions.\nA layer: the median longer side is 500 pixels, above 96.\n"
        in capsys.readouterr().out
    )


def test_an_archive_is_sent_as_it_is(server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pets.tgz").write_bytes(b"a tar, zipped")
    assert cli.run(["train", str(tmp_path / "pets.tgz")]) == 0
    assert "pets.tgz: 0.0 MB; the service says what is in it.\n" in capsys.readouterr().out
    sent = next(request for request in server.requests if request.path == "/datasets")
    assert (sent.body, sent.headers["Content-Type"]) == (b"a tar, zipped", "application/gzip")


def test_how_images_are_read_is_said_by_the_options_of_upload(server: Peer, tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(b"zip")
    options = ["--names", "gbk", "--bad-images", "skip", "--validation", "leave_out", "--base", "birds"]
    for command in ("train", "upload"):
        assert cli.run([command, str(tmp_path / "pets.zip"), *options]) == 0
    trained, uploaded = (request.query for request in server.requests if request.path == "/datasets")
    assert trained == uploaded == {"names": "gbk", "bad_images": "skip", "validation": "leave_out", "base": "birds"}


def test_what_becomes_of_validation_images_is_refused_where_a_folder_has_none(
    server: Peer, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", str(photos), "--validation", "train"]) == 1
    assert "--validation train was asked for, and the folder has no validation part" in capsys.readouterr().err
    assert server.requests == []


@pytest.mark.parametrize("there", [True, False])
def test_a_model_that_is_not_default(
    server: Peer, photos: Path, capsys: pytest.CaptureFixture[str], there: bool
) -> None:
    worse = {**MODEL, "id": "mod_1", "cell": 1, "aliases": [], "holdout_accuracy": 0.4}
    better = {**MODEL, "aliases": []}
    server.instead("GET", "/models", json_reply({"items": [worse, better], "next_cursor": None}))
    server.instead("GET", "/results/exp_1", json_reply(results(rows=[row(0), row(1)])))
    if there:
        server.replies("GET", "/models/default", json_reply({**MODEL, "id": "mod_before"}))
    assert cli.run(["train", str(photos), "--url", f"{server.url}/"]) == 0
    out = capsys.readouterr().out
    assert "model     mod_0 (noise.quantity=0)\n" in out
    default = "mod_before" if there else "no model"
    assert (
        f"is not `default`, which is {default}; `noisegate alias default mod_0 --url {server.url}/` makes it so" in out
    )
    assert out.endswith(f"classify  noisegate classify --model mod_0 --url {server.url}/ IMAGE …\n")


def test_a_training_that_fails_tells_its_error(server: Peer, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"status": 500, "code": "worker-lost", "title": "Lost", "detail": "Three workers died on it.", "errors": []}
    server.instead("GET", "/experiments/exp_1", json_reply(experiment(state="failed", error=error)))
    server.instead("GET", "/models", json_reply({"items": [], "next_cursor": None}))
    assert cli.run(["train", str(photos)]) == 1
    captured = capsys.readouterr()
    assert captured.out.endswith("No model was kept.\n")
    assert captured.err == "Lost (500 worker-lost)\n  Three workers died on it.\n"


def test_a_dataset_that_fails_tells_its_error(server: Peer, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = {
        "status": 422,
        "code": "invalid-image",
        "title": "No image",
        "detail": "'cat/1.png' is none.",
        "errors": [],
    }
    server.instead("GET", "/datasets/ds_1", json_reply(dataset(state="failed", error=error)))
    assert cli.run(["train", str(photos)]) == 1
    assert capsys.readouterr().err == "No image (422 invalid-image)\n  'cat/1.png' is none.\n"


@pytest.mark.parametrize("workers", [[], [{"alive": False}]])
def test_without_a_worker_it_says_what_it_waits_for(
    server: Peer, photos: Path, capsys: pytest.CaptureFixture[str], workers: list[object]
) -> None:
    unread = dataset(name="pets", state="ingesting", images_done=0)
    server.instead("GET", "/datasets/ds_1", json_reply(unread, Retry_After="0"), json_reply(dataset(name="pets")))
    server.instead("GET", "/workers", json_reply({"items": workers}))
    assert cli.run(["train", str(photos)]) == 0
    out = capsys.readouterr().out
    assert out.index("upload") < out.index("reading   0%  waiting for a worker: none is running\n")


def test_ctrl_c_while_it_trains_ends_the_watching_only(server: Peer, photos: Path) -> None:
    server.instead("GET", "/experiments/exp_1", json_reply(experiment(), Retry_After="60"))
    command = [sys.executable, "-m", "noisegate.client.cli", "train", str(photos)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while not process.stdout.readline().startswith("training"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20 * PATIENCE)
    assert process.returncode == 130
    assert errors == "Stopped watching; training goes on: `noisegate watch exp_1`.\n"
    assert not any(request.path.endswith("/cancel") for request in server.requests)


def test_nothing_is_asked_about_a_folder_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", str(fill(tmp_path, {"1.png": b"1"})), "--url", "http://127.0.0.1:1"]) == 1
    assert "lies in no class folder" in capsys.readouterr().err


def test_no_service_is_running(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", str(photos), "--url", "http://127.0.0.1:1"]) == 1
    assert capsys.readouterr().err.endswith("Is `noisegate up` running?\n")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.epochs=many", "training.epochs: Input should be a valid integer"),
        ("training.epoch=3", "training.epoch: "),
        ("epochs", "give a path and a value"),
        ("noise.quantity.more=3", "--set noise.quantity.more: noise.quantity has no fields here"),
        ("dataset=digits", "the dataset is the one that is sent"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_sent(
    service: str, photos: Path, capsys: pytest.CaptureFixture[str], setting: str, words: str
) -> None:
    assert cli.run(["train", str(photos), "--name", "mine", "--set", setting]) == 1
    assert words in capsys.readouterr().err
    assert no_dataset_named(service, "mine")


def test_a_preset_that_is_none(service: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", str(photos), "--preset", "recommend"]) == 1
    assert "There are: baseline, figure-9" in capsys.readouterr().err


def test_a_name_of_other_images(
    service: str, service_settings: Settings, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = open_sessions(service_settings)
    with sessions.begin() as session:
        id = ready_dataset(session, Artefacts(service_settings.artefact_root)).id
    assert cli.run(["train", str(photos), "--name", "pets"]) == 1
    captured = capsys.readouterr()
    assert captured.err == (
        f"The name pets belongs to other images already: dataset {id}. Give another --name, or `noisegate delete {id}`.\n"
    )
    assert "upload" not in captured.out
    # As many images of each class, but others: only the service can know, and says so.
    half = (TRAIN_COUNT + TEST_COUNT) // 2
    same = {f"{name}/{number}.png": png(0) for name in ("cat", "dog") for number in range(half)}
    assert cli.run(["train", str(fill(photos.parent / "same", same)), "--name", "pets"]) == 1
    assert "Choose another name, or delete that dataset." in capsys.readouterr().err
    sessions.close()


def test_the_same_folder_again_is_the_same_dataset(service: str, photos: Path) -> None:
    with Noisegate(service) as client:
        first = client.datasets.upload(FolderTar(find_images(photos).files), name="once")
        (photos / "cat" / "1.png").touch()
        again = client.datasets.upload(FolderTar(find_images(photos).files), name="once")
    assert again["id"] == first["id"]


def test_ctrl_c_in_the_middle_of_an_upload(service: str, service_settings: Settings, tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos")
    with (photos / "dog" / "large.png").open("wb") as file:
        file.truncate(2 * 2**30)
    command = [sys.executable, "-m", "noisegate.client.cli", "train", str(photos), "--name", "large"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while not process.stdout.readline().startswith("upload"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20 * PATIENCE)
    assert process.returncode == 130
    assert errors == "Stopped; nothing of the upload is kept.\n"
    assert no_dataset_named(service, "large")
    root = service_settings.artefact_root
    wait_until(lambda: not any(files_below(root)), seconds=10, what="its files are gone")


def test_a_service_that_goes_away_during_an_upload(tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def hang_up() -> None:
            for _ in range(3):
                connection, _ = listening.accept()
                connection.recv(1000)
                connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        naps: list[float] = []
        with Noisegate(url, sleep=naps.append) as client, pytest.raises(UploadInterrupted) as caught:
            client.datasets.upload(large)
        thread.join()
    assert len(naps) == 2
    assert 0 < caught.value.sent < caught.value.total == 64 * 2**20
    assert f"The upload to {url} was interrupted after " in str(caught.value)
    assert "Send it again: the same files become the same dataset" in str(caught.value)


def test_settings_are_json_by_path_or_text() -> None:
    assert parse_settings(["a=1e-3", "b.c=null", "d=one=two", 'e={"x": [1]}', "f="]) == {
        "a": 0.001, "b.c": None, "d": "one=two", "e": {"x": [1]}, "f": ""
    }  # fmt: skip
    with pytest.raises(ClientError, match="given twice"):
        parse_settings(["a=1", "a=2"])


def test_what_a_preset_has_around_a_setting_stays() -> None:
    drop = {"factor": 0.1, "every_epochs": 8}
    preset = {"noise": {"family": "uniform", "low": 0}, "training": {"epochs": 12, "learning_rate_drop": drop}}
    assert nested({"noise.low": 1, "training.learning_rate_drop.factor": 0.5, "holdout": 0}, preset) == {
        "noise": {"family": "uniform", "low": 1},
        "training": {"learning_rate_drop": {"factor": 0.5, "every_epochs": 8}},
        "holdout": 0,
    }
    assert nested({"sweep.noise.low": [0, 1]}, preset | {"sweep": {}}) == {"sweep": {"noise.low": [0, 1]}}
    assert preset["noise"] == {"family": "uniform", "low": 0}
