"""`POST /datasets?base=…`: registered, told, tried in a dry run, and refused by name."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from noisegate.data.members import Member
from noisegate.data.packing import pack
from noisegate.inference.decoding import ImageLimits
from noisegate.store import datasets, ingestions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Dataset
from tests.factories import failure
from tests.service.factories import ready_dataset

ZIP = {"Content-Type": "application/zip"}
SIZE = 16


def _png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((9, 12, 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


PETS = {f"{name}/{i}.png": _png(10 * i + 100 * k) for k, name in enumerate(("cat", "dog")) for i in range(5)}


@pytest.fixture
def pets(sessions: Sessions, artefacts: Artefacts) -> Dataset:
    """A dataset as a worker would have packed it at 16 pixels."""
    with artefacts.scratch() as folder:
        members = (Member(name, data) for name, data in PETS.items())
        packed = pack(members, SIZE, folder, lambda _: None, ImageLimits())
        images, labels, originals, index = map(artefacts.put_file, packed.paths)
    found = ingestions.Packed(
        classes=list(packed.classes),
        counts={split: dict(counts) for split, counts in packed.counts.items()},
        train_count=packed.train_count,
        test_count=packed.test_count,
        skipped=0,
        content_hash=packed.content_hash,
        images_digest=images,
        labels_digest=labels,
        licence=None,
        originals_digest=originals,
        originals_index_digest=index,
        originals_bytes=packed.originals_bytes,
        longer_side=packed.longer_side,
        report=packed.report,
    )
    with sessions.begin() as session:
        waiting = datasets.register(
            session, name="pets", source="upload", image_size=SIZE, upload_digest="a" * 64
        ).dataset
        claimed = ingestions.claim(session, waiting.id, owner="factory", lease_seconds=30)
        assert claimed is not None
        return ingestions.record_ready(session, claimed[1], found)


def _sent(client: TestClient, files: Mapping[str, bytes], **query: Any) -> Any:
    return client.post("/datasets", params={"base": "pets", **query}, content=_zip(files), headers=ZIP)


def test_a_version_is_registered_at_the_size_of_its_base_and_names_it(client: TestClient, pets: Dataset) -> None:
    new = {"dog/new.png": _png(250)}
    answer = _sent(client, new, name="more")
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert (found["name"], found["image_size"], found["base"]) == ("more", SIZE, {"id": pets.id, "name": "pets"})
    assert client.get("/datasets/more").json()["base"] == {"id": pets.id, "name": "pets"}
    assert client.get("/datasets/pets").json()["base"] is None
    again = _sent(client, new, base=pets.id)
    assert (again.status_code, again.json()["id"]) == (200, found["id"])
    alone = client.post("/datasets", content=_zip(new), headers=ZIP)
    assert (alone.status_code, alone.json()["base"]) == (202, None)
    assert alone.json()["id"] != found["id"]
    assert client.delete("/datasets/pets").status_code == 409, "it is being added to"


def test_without_a_name_it_is_called_after_its_base(client: TestClient, pets: Dataset) -> None:
    assert pets.name == "pets"
    assert _sent(client, {"dog/new.png": _png(250)}).json()["name"].startswith("pets-with-")


def test_a_dry_run_says_what_would_be_added_and_keeps_nothing(
    client: TestClient, pets: Dataset, stored_files: Callable[[], list[Path]]
) -> None:
    before, files = client.get("/datasets").json(), sorted(stored_files())
    answer = _sent(client, {"dog/new.png": _png(250), "cat/again.png": PETS["cat/0.png"]}, dry_run="true")
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert report["added"] == {
        "base": "pets",
        "train_count": 1,
        "test_count": 0,
        "known_count": 1,
        "classes": [{"name": "dog", "train": 1, "test": 0, "is_new": False}],
    }
    assert (report["train_count"], report["test_count"]) == (9, 2)
    assert report["left_out"] == [{"why": "is in the base already", "count": 1, "names": ["cat/again.png"]}]
    assert (client.get("/datasets").json(), sorted(stored_files())) == (before, files)
    assert pets.originals_bytes == sum(map(len, PETS.values()))


def test_a_contradiction_is_told_by_a_dry_run(client: TestClient, pets: Dataset) -> None:
    answer = _sent(client, {"dog/new.png": PETS["cat/3.png"]}, base=pets.id, dry_run="true")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-archive")
    assert "'dog/new.png' of class 'dog' is 'cat/3.png' of class 'cat' there" in answer.json()["detail"]


def test_what_is_no_base_is_refused_by_name_and_nothing_is_kept(
    client: TestClient,
    pets: Dataset,
    sessions: Sessions,
    artefacts: Artefacts,
    stored_files: Callable[[], list[Path]],
) -> None:
    assert pets.id
    with sessions.begin() as session:
        ready_dataset(session, artefacts, "old", number=2)
        waiting = datasets.register(session, name="bad", source="upload", image_size=SIZE, upload_digest="b" * 64)
        claimed = ingestions.claim(session, waiting.dataset.id, owner="factory", lease_seconds=30)
        assert claimed is not None
        ingestions.record_failed(session, claimed[1], failure("invalid-archive"))
    files = sorted(stored_files())
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"base": "nowhere"}, 422, "base"),
        ({"base": "digits"}, 409, "base"),
        ({"base": "bad"}, 409, "base"),
        ({"base": "old"}, 409, "base"),
        ({"image_size": 32}, 422, "image_size"),
        ({"name": "pets"}, 409, "name"),
    ]
    for dry_run in ("false", "true"):
        for query, status, field in cases:
            answer = _sent(client, {"dog/new.png": _png(250)}, **query, dry_run=dry_run)
            assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (status, [field]), query
    assert sorted(stored_files()) == files


@pytest.mark.parametrize("source", ["digits", "cifar10"])
def test_a_source_is_no_upload_to_a_base(client: TestClient, source: str) -> None:
    answer = client.post("/datasets", params={"base": "pets", "name": "mine"}, json={"source": source})
    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (422, ["base"])
    in_body = client.post("/datasets", json={"source": source, "base": "pets", "name": "mine"})
    assert (in_body.status_code, [one["field"] for one in in_body.json()["errors"]]) == (422, ["base"])


def test_a_field_of_the_form_belongs_in_the_query(client: TestClient) -> None:
    files = {"archive": ("a.zip", _zip({"dog/new.png": _png(250)}))}
    answer = client.post("/datasets", files=files, data={"base": "pets"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "base")
    assert "?base=" in answer.text
