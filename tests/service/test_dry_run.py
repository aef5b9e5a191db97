"""`POST /datasets?dry_run=true` and the report that stays with a dataset."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from noisegate.api.dataset_report import DatasetReport
from noisegate.store.sessions import Sessions
from noisegate.store.wakeups import INGEST, Wakeups
from tests.factories import ready_dataset

ZIP = {"Content-Type": "application/zip"}


def _png(shade: int, size: tuple[int, int] = (12, 9)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _pets(extra: Mapping[str, bytes] | None = None) -> bytes:
    images = {f"{name}/{i}.png": _png(10 * i + 100 * k) for k, name in enumerate(("cat", "dog")) for i in range(5)}
    return _zip(images | dict(extra or {}))


def _tried(client: TestClient, body: bytes, **query: str) -> Any:
    return client.post("/datasets", params={"dry_run": "true", **query}, content=body, headers=ZIP)


def test_a_dry_run_reports_and_keeps_nothing(
    client: TestClient, stored_files: Callable[[], list[Path]], wakeups: Wakeups
) -> None:
    before, waiting = client.get("/datasets").json(), wakeups.waiting(INGEST)
    answer = _tried(client, _pets({"readme.pdf": b"%PDF-1.7 hello"}))
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["train_count"], report["test_count"]) == (8, 2)
    assert [(one["name"], one["train"], one["test"]) for one in report["classes"]] == [("cat", 4, 1), ("dog", 4, 1)]
    assert report["classes"][1]["samples"] == ["dog/0.png", "dog/1.png", "dog/2.png"]
    assert report["images"]["formats"] == {"PNG": 10}
    assert report["images"]["width"] == {"least": 12, "median": 12, "most": 12}
    assert report["images"]["height"]["most"] == 9
    assert report["left_out_count"] == 1
    assert report["left_out"][0]["names"] == ["readme.pdf"]
    assert report["duplicates"]["messages"] == []
    assert client.get("/datasets").json() == before
    assert (stored_files(), wakeups.waiting(INGEST)) == ([], waiting)


def test_a_dry_run_refuses_what_ingestion_would_refuse(
    client: TestClient, stored_files: Callable[[], list[Path]]
) -> None:
    answer = _tried(client, _pets({"cat/broken.png": b"text", "dog/empty.png": b""}))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-image")
    assert "'cat/broken.png'" in answer.json()["detail"]
    assert "'dog/empty.png'" in answer.json()["detail"]
    assert "bad_images=skip" in answer.json()["remedy"]
    assert stored_files() == []


def test_bad_images_are_left_out_on_request_and_counted(client: TestClient) -> None:
    report = _tried(client, _pets({"cat/broken.png": b"text"}), bad_images="skip").json()
    assert report["train_count"] + report["test_count"] == 10
    assert report["left_out_count"] == 1
    assert report["left_out"][0]["names"] == ["cat/broken.png"]


def test_a_dry_run_tells_of_copies(client: TestClient) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    again = {"cat/again.png": buffer.getvalue(), "dog/again.png": buffer.getvalue()}
    duplicates = _tried(client, _pets(again)).json()["duplicates"]
    assert duplicates["across_classes"]["exact"] == 2
    assert {pair["first_class"] for pair in duplicates["across_classes"]["examples"]} | {
        pair["second_class"] for pair in duplicates["across_classes"]["examples"]
    } == {"cat", "dog"}
    assert duplicates["messages"][0].startswith("2 of 12 images have a copy of another class (2 exactly)")


@pytest.mark.parametrize("query", [{"names": "klingon"}, {"bad_images": "repair"}, {"validation": "holdout"}])
def test_an_unknown_way_of_reading_is_refused_by_name(client: TestClient, query: dict[str, str]) -> None:
    answer = _tried(client, _pets(), **query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == list(query)


@pytest.mark.parametrize("query", ["dry_run=true", "bad_images=skip", "names=shift_jis", "validation=train"])
def test_a_source_has_nothing_to_be_read_in_another_way(client: TestClient, query: str) -> None:
    answer = client.post(f"/datasets?{query}", json={"source": "digits"})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [query.split("=")[0]]


@pytest.mark.parametrize(("field", "value"), [("name", "ten"), ("image_size", 16)])
def test_what_is_given_in_query_and_body_is_refused(client: TestClient, field: str, value: str | int) -> None:
    answer = client.post(f"/datasets?{field}={value}", json={"source": "digits", field: value})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["message"]) == (field, "is given in the query and in the body")


def test_what_becomes_of_validation_images_is_refused_where_there_are_none(client: TestClient) -> None:
    answer = _tried(client, _pets(), validation="leave_out")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "validation")
    assert answer.json()["errors"][0]["remedy"].startswith("Leave validation out")


def test_a_dry_run_finds_that_the_name_is_taken(client: TestClient) -> None:
    answer = _tried(client, _pets(), name="digits")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "name")


def test_read_in_another_way_it_is_another_dataset(client: TestClient) -> None:
    sent = _pets()  # once: a zip holds the time
    one, other, same = (
        client.post("/datasets", params=query, content=sent, headers=ZIP)
        for query in ({}, {"bad_images": "skip"}, {"bad_images": "skip"})
    )
    assert (one.status_code, other.status_code, same.status_code) == (202, 202, 200)
    assert one.json()["id"] != other.json()["id"] == same.json()["id"]


def test_a_dataset_older_than_reports_says_so(client: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        dataset = ready_dataset(session)  # by the factory, which knows of no report
    answer = client.get(f"/datasets/{dataset.id}/report")
    assert answer.status_code == 404
    assert "dry_run=true" in answer.json()["remedy"]


def test_the_report_of_what_is_still_read(client: TestClient) -> None:
    sent = client.post("/datasets?name=pets", content=_pets(), headers=ZIP)
    answer = client.get(f"/datasets/{sent.json()['id']}/report")
    assert (answer.status_code, answer.json()["code"]) == (409, "not-ready")


def test_the_report_stays_with_the_dataset(client: TestClient, sessions: Sessions) -> None:
    report = _tried(client, _pets()).json()
    with sessions.begin() as session:
        dataset = ready_dataset(session)
        dataset.report = DatasetReport.model_validate(report)
    assert client.get(f"/datasets/{dataset.name}/report").json() == report
