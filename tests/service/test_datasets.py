import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from starlette.testclient import TestClient

from noisegate.api.dataset_report import DatasetReport, ImagesFound, Spread
from noisegate.errors import Conflict
from noisegate.store import datasets, ingestions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import DERIVE, INGEST, Wakeups
from service.datasets.registration import Wanted, register, register_digits
from tests.factories import failure, packed
from tests.service.conftest import run_client
from tests.service.factories import TEST_COUNT, TRAIN_COUNT, dataset_images, ready_dataset


def test_a_fresh_server_ingests_the_digits_and_a_second_process_finds_them(
    wakeups: Wakeups, settings: Settings
) -> None:
    with run_client(settings) as first, run_client(settings) as second:
        found = first.get("/datasets").json()["items"]
        assert [(item["name"], item["source"], item["state"]) for item in found] == [("digits", "digits", "ingesting")]
        assert second.get("/datasets").json()["items"] == found
        assert wakeups.waiting(INGEST) == 2


def test_processes_that_start_together_register_the_digits_once(migrated_url: str, wakeups: Wakeups) -> None:
    processes = [open_sessions(Settings(database_url=migrated_url)) for _ in range(8)]
    together = threading.Barrier(len(processes))

    def start(sessions: Sessions) -> None:
        with sessions.reading() as session:
            session.execute(sa.text("SELECT 1"))
        together.wait()
        register_digits(sessions, wakeups)

    with ThreadPoolExecutor(len(processes)) as pool:
        list(pool.map(start, processes))
    with processes[0].reading() as session:
        assert list(datasets.page(session, cursor=None, limit=20).items) == [datasets.get(session, "digits")]
    for sessions in processes:
        sessions.close()


def test_a_dataset_that_somebody_called_digits_is_left_alone(settings: Settings, sessions: Sessions) -> None:
    with sessions.begin() as session:
        register(session, Wanted("digits", "upload", 32, "0" * 64))
    with run_client(settings) as client:
        assert [item["source"] for item in client.get("/datasets").json()["items"]] == ["upload"]


def test_a_dataset_lists_its_views(sessions: Sessions, artefacts: Artefacts, client: TestClient) -> None:
    with sessions.begin() as session:
        pets = ready_dataset(session, artefacts)
        pets.originals_digest, pets.originals_bytes = "e" * 64, 1234
    assert client.get("/datasets/pets").json()["views"] == []
    sweep = {"image_size": [32, 48], "resize": ["stretch", "pad"]}
    spec = {"dataset": "pets", "executions": 1, "training": {"epochs": 1, "batch_size": 8}, "sweep": sweep}
    posted = client.post("/experiments", json=spec)
    assert posted.status_code == 202, posted.text
    answer = client.get("/datasets/pets").json()
    assert answer["originals_bytes"] == 1234
    views = {(one["image_size"], one["resize"]): one for one in answer["views"]}
    assert set(views) == {(32, "pad"), (48, "stretch"), (48, "pad")}
    assert {(one["state"], one["size_bytes"], one["images_done"], one["error"]) for one in answer["views"]} == {
        ("waiting", None, 0, None)
    }
    listed = {one["name"]: one for one in client.get("/datasets").json()["items"]}
    assert listed["pets"] == answer
    assert client.delete("/datasets/pets").status_code == 409


def test_a_view_that_is_asked_for_is_announced(
    wakeups: Wakeups, sessions: Sessions, artefacts: Artefacts, client: TestClient
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts).originals_digest = "e" * 64
    spec = {"dataset": "pets", "image_size": 16, "executions": 1, "training": {"epochs": 1, "batch_size": 8}}
    assert client.post("/experiments", json=spec).status_code == 202
    assert wakeups.waiting(DERIVE) == 1


def test_a_source_by_name(wakeups: Wakeups, client: TestClient) -> None:
    answer = client.post("/datasets", json={"source": "cifar10"})
    assert answer.status_code == 202
    assert answer.json()["name"] == "cifar10"
    assert answer.headers["location"] == f"/datasets/{answer.json()['id']}"
    assert answer.headers["retry-after"] == "1"
    again = client.post("/datasets", json={"source": "cifar10", "name": "another name"})
    assert (again.status_code, again.json()["id"]) == (200, answer.json()["id"])
    assert (answer.json()["also_called"], again.json()["also_called"]) == ([], ["another name"])
    assert client.get("/datasets/another name").json() == client.get("/datasets/cifar10").json() == again.json()
    smaller = client.post("/datasets?image_size=16&name=small", json={"source": "cifar10"})
    assert (smaller.status_code, smaller.json()["name"], smaller.json()["image_size"]) == (202, "small", 16)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"source": "imagenet"}, "source"),
        ({}, "source"),
        ({"source": "cifar10", "colour": 1}, "colour"),
        ({"source": "cifar10", "name": ""}, "name"),
        ({"source": "cifar10", "name": "two\nlines"}, "name"),
        ({"source": "cifar10", "name": "ds_1"}, "name"),
        ({"source": "cifar10", "name": "a/b"}, "name"),
        ({"source": "cifar10", "name": ".."}, "name"),
        ({"source": "cifar10", "name": "x" * 201}, "name"),
        ({"source": "cifar10", "image_size": 7}, "image_size"),
        ({"source": "cifar10", "image_size": 225}, "image_size"),
        ({"source": "cifar10", "image_size": 10**30}, "image_size"),
    ],
)
def test_wrong_source_documents(shared_client: TestClient, body: dict[str, object], field: str) -> None:
    answer = shared_client.post("/datasets", json=body)
    assert answer.status_code == 422
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_a_name_belongs_to_one_dataset(shared_client: TestClient) -> None:
    answer = shared_client.post("/datasets", json={"source": "cifar10", "name": "digits"})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["field"] == "name"


def test_one_dataset_by_id_and_by_name(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        id = ready_dataset(session, artefacts).id
    by_id, by_name = client.get(f"/datasets/{id}"), client.get("/datasets/pets")
    assert by_id.json() == by_name.json()
    assert by_id.json()["counts"]["train"] == {"cat": 50, "dog": 50}
    assert by_id.json()["state"] == "ready"
    assert "retry-after" not in by_id.headers
    assert client.get("/datasets/digits").headers["retry-after"] == "1"
    unknown = client.get("/datasets/nobody")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")


def test_a_failed_ingestion_says_why(client: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        claimed = ingestions.claim(session, None, owner="w", lease_seconds=30)
        assert claimed is not None
        ingestions.record_failed(session, claimed[1], failure("invalid-archive", "is empty"))
    found = client.get(f"/datasets/{claimed[0].id}").json()
    assert (found["state"], found["error"]["detail"]) == ("failed", "is empty")


def test_pages(client: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        for number in range(3):
            register(session, Wanted(f"set {number}", "upload", 32, f"{number:064x}"))
    first = client.get("/datasets?limit=3").json()
    second = client.get("/datasets", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    names = [item["name"] for item in first["items"] + second["items"]]
    assert set(names) == {"digits", "set 0", "set 1", "set 2"}
    assert second["next_cursor"] is None


@pytest.mark.parametrize(("split", "index", "place"), [("train", 1, 1), ("test", 0, TRAIN_COUNT)])
def test_images_come_back_bit_by_bit(
    client: TestClient, sessions: Sessions, artefacts: Artefacts, split: str, index: int, place: int
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts, classes=["Katze", "猫 100%"])
    answer = client.get(f"/datasets/pets/images/{split}/{index}.png")
    assert answer.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), dataset_images(1)[place])
    assert unquote(answer.headers["x-label"]) == ["Katze", "猫 100%"][place % 2]


@pytest.mark.parametrize(
    ("path", "status"),
    [("train/100", 404), ("test/20", 404), ("train/x", 422), ("train/-1", 422), ("train/" + "9" * 5000, 422)],
)
def test_images_outside(shared_client: TestClient, path: str, status: int) -> None:
    assert (TRAIN_COUNT, TEST_COUNT) == (100, 20)
    assert shared_client.get(f"/datasets/pets/images/{path}.png").status_code == status
    assert shared_client.get("/datasets/pets/images/holdout/0.png").status_code == 422
    assert shared_client.get("/datasets/digits/images/train/0.png").status_code == 409


def test_delete_removes_rows_and_files(
    client: TestClient, sessions: Sessions, artefacts: Artefacts, settings: Settings
) -> None:
    with sessions.begin() as session:
        dataset = ready_dataset(session, artefacts)
    assert dataset.images_digest
    assert artefacts.path(dataset.images_digest).exists()
    assert client.delete(f"/datasets/{dataset.id}").status_code == 204
    assert not artefacts.path(dataset.images_digest).exists()
    assert client.get(f"/datasets/{dataset.id}").status_code == 404
    assert client.delete(f"/datasets/{dataset.id}").status_code == 404


def test_a_dataset_in_use_stays(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        id = ready_dataset(session, artefacts).id
    assert client.post("/experiments", json={"dataset": "pets"}).status_code == 202
    answer = client.delete(f"/datasets/{id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert client.get("/datasets/pets/images/train/0.png").status_code == 200
    assert client.delete("/datasets/digits").status_code == 409


def test_registering_twice_answers_the_first(sessions: Sessions) -> None:
    wanted = Wanted("pets", "upload", 32, "1" * 64)
    with sessions.begin() as session:
        first, second = register(session, wanted), register(session, wanted)
        assert (first.created, second.created) == (True, False)
        assert first.dataset.id == second.dataset.id
        with pytest.raises(Conflict):
            register(session, Wanted("pets", "upload", 32, "2" * 64))


def test_each_name_tells_what_was_left_out_of_its_own_upload(client: TestClient, sessions: Sessions) -> None:
    reports = {name: _report(f"{name}.pdf") for name in ("first", "again")}
    with sessions.begin() as session:
        for name, found in reports.items():
            waiting = datasets.register(session, name=name, source="upload", image_size=16, upload_digest=name * 12)
            claimed = ingestions.claim(session, waiting.dataset.id, owner="w", lease_seconds=30)
            assert claimed is not None
            left_out = 1 if name == "first" else 2
            ingestions.record_ready(session, claimed[1], replace(packed(), report=found, skipped=left_out))
    first, again = (client.get(f"/datasets/{name}").json() for name in reports)
    assert (again["id"], again["also_called"]) == (first["id"], ["again"])
    assert (first["skipped"], again["skipped"]) == (1, 2)
    for name, found in reports.items():
        assert client.get(f"/datasets/{name}/report").json()["notes"] == found.notes


def _report(note: str) -> DatasetReport:
    none = Spread(least=8, median=8, most=8)
    images = ImagesFound(formats={"PNG": 1}, width=none, height=none)
    return DatasetReport(
        layout="class folders",
        notes=[note],
        train_count=1,
        test_count=1,
        classes=[],
        images=images,
        left_out_count=0,
        left_out=[],
    )
