"""GET /backbones: what is at hand, what the catalogue has, and what to beware of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.networks.backbones import EMBEDDED, catalogue
from noisegate.store.settings import Settings
from tests.service.conftest import run_client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "weights"
    made.mkdir()
    (made / "resnet18.a1_in1k.safetensors").write_bytes(b"1" * 1234)
    (made / "of-my-own.safetensors").write_bytes(b"1")
    (made / "resnet34.a1_in1k.bin").write_bytes(b"1")
    (made / "resnet50.a1_in1k.safetensors").mkdir()
    return made


@pytest.fixture
def with_folder(settings: Settings, folder: Path) -> Iterator[TestClient]:
    with run_client(settings.model_copy(update={"weights_dir": folder})) as client:
        yield client


def test_without_a_folder_the_embedded_one_is_at_hand(shared_client: TestClient) -> None:
    found = shared_client.get("/backbones").json()
    assert found == {
        "items": [
            {
                "name": EMBEDDED,
                "source": "embedded",
                "size_bytes": 18_826_032,
                "image_size": 224,
                "macs": 383_907_552,
                "parameters": 3_371_008,
                "fixed_size": False,
                "fine_tune": True,
                "licence": "apache-2.0",
                "note": None,
            }
        ],
        "total": 1,
        "next_cursor": None,
    }


def test_files_of_the_folder_that_are_a_backbones_are_at_hand(with_folder: TestClient) -> None:
    found = with_folder.get("/backbones").json()
    told = [(item["name"], item["source"]) for item in found["items"]]
    assert told == [(EMBEDDED, "embedded"), ("resnet18.a1_in1k", "folder")]
    assert found["items"][1]["size_bytes"] == 1234
    assert with_folder.get("/backbones/resnet18").json() == found["items"][1], "timm's default of that name"
    assert with_folder.get("/backbones/resnet50.a1_in1k").json()["source"] == "hub", "a folder is no file"


def test_a_folder_that_this_machine_has_not_is_an_empty_one(settings: Settings, tmp_path: Path) -> None:
    with run_client(settings.model_copy(update={"weights_dir": tmp_path / "elsewhere"})) as client:
        assert client.get("/backbones").json()["total"] == 1


def test_a_search_goes_through_the_catalogue_page_by_page(with_folder: TestClient) -> None:
    names: list[str] = []
    query: dict[str, Any] = {"q": "ResNet18", "limit": 2}
    while True:
        page = with_folder.get("/backbones", params=query).json()
        names += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 2
        query["cursor"] = page["next_cursor"]
    expected = {name for name in catalogue() if "resnet18" in name}
    assert names[0] == "resnet18.a1_in1k", "what is at hand comes first"
    assert (set(names), len(names), page["total"]) == (expected, len(expected), len(expected))
    assert with_folder.get("/backbones", params={"q": "no such name"}).json()["items"] == []


@pytest.mark.parametrize(
    ("name", "licence", "words"),
    [
        ("resnet18.a1_in1k", "apache-2.0", None),
        ("vit_small_patch16_dinov3.lvd1689m", "dinov3-license", "Meta's own licence"),
        ("fastvit_mci0.apple_mclip", "apple-amlr", "research only"),
        ("convnextv2_atto.fcmae", "cc-by-nc-4.0", "non-commercial"),
        ("mobilenetv5_300m.gemma3n", "gemma", "of its own"),
        ("dla60_res2net.in1k", "unknown", "no licence"),
    ],
)
def test_a_licence_that_is_not_a_free_one_has_a_note(
    shared_client: TestClient, name: str, licence: str, words: str | None
) -> None:
    found = shared_client.get(f"/backbones/{name}").json()
    assert found["licence"] == licence
    assert (found["note"] is None) if words is None else (words in found["note"])


def test_bad_requests_name_the_field(shared_client: TestClient) -> None:
    answer = shared_client.get("/backbones/resnet81")
    assert answer.status_code == 404
    (error,) = answer.json()["errors"]
    assert error["field"] == "backbone"
    assert "Did you mean resnet" in error["remedy"]
    assert shared_client.get("/backbones", params={"q": ""}).json()["errors"][0]["field"] == "q"
    cursor = shared_client.get("/backbones", params={"q": "resnet", "limit": 1}).json()["next_cursor"]
    other = shared_client.get("/backbones", params={"q": "vit", "cursor": cursor})
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "cursor")


def test_what_was_not_counted_is_null(shared_client: TestClient) -> None:
    found = shared_client.get("/backbones/vit_base_patch16_224.augreg2_in21k_ft_in1k").json()
    assert (found["macs"], found["parameters"]) == (None, None)
