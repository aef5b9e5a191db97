"""GET /datasets/{reference}/export.zip: the files that came, in class folders, without those that are left out."""

import io
import zipfile
from typing import Any

import pytest

from service.datasets.export import folder_names

from .conftest import House, archive


def files_of(content: bytes) -> list[tuple[str, bytes]]:
    """Part, class and bytes of each file, sorted."""
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        return sorted((name.rpartition("/")[0], opened.read(name)) for name in opened.namelist())


def test_all_comes_back_byte_for_byte_in_its_class(house: House, dataset: dict[str, Any]) -> None:
    answer = house.client.get("/datasets/tints/export.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert files_of(answer.content) == files_of(archive())
    assert house.client.get(f"/datasets/{dataset['id']}/export.zip").content == answer.content
    again = house.client.get("/datasets/tints/export.zip", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_cleaned_it_is_a_dataset_that_can_be_uploaded(house: House, recorded: str) -> None:
    query = {"exclude": recorded, "budget": "0.025"}
    answer = house.client.get("/datasets/tints/export.zip", params=query)
    worst = house.table(recorded)["items"][:3]
    assert all(one["label"] == "green" for one in worst)
    assert len(files_of(answer.content)) == len(files_of(archive())) - 3
    cleaned = house.upload("cleaned", answer.content)
    assert cleaned["counts"]["train"] == {"blue": 41, "green": 40, "red": 37}
    assert cleaned["counts"]["test"] == {"blue": 11, "green": 10, "red": 10}


def test_by_reasons_and_ids(house: House, recorded: str) -> None:
    everything = len(files_of(archive()))
    of_table = house.table(recorded)["items"]
    flagged = sum(bool({"exact_copy", "copy_in_test"} & {*one["reasons"]}) for one in of_table)
    query = {"exclude": recorded, "reasons": "exact_copy, copy_in_test"}
    assert len(files_of(house.client.get("/datasets/tints/export.zip", params=query).content)) == everything - flagged
    assert len(files_of(house.client.get("/datasets/tints/export.zip?ids=3,5").content)) == everything - 2


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("reasons=dark", 422, "reasons"),
        ("exclude=exp_none&budget=0.1", 422, "exclude"),
        ("exclude=RECORDED&budget=1", 422, "budget"),
        ("exclude=RECORDED&reasons=ugly", 422, "reasons.0"),
        ("exclude=RECORDED&reasons=odd_aspect", 422, "reasons"),
        ("ids=1,two", 422, "ids.1"),
        ("ids=99999", 422, "ids"),
    ],
)
def test_refused_by_name(house: House, recorded: str, query: str, status: int, field: str) -> None:
    answer = house.client.get(f"/datasets/tints/export.zip?{query.replace('RECORDED', recorded)}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field), answer.text


def test_of_no_dataset(house: House) -> None:
    assert house.client.get("/datasets/none/export.zip").status_code == 404


def test_folders_are_plain_names_and_never_paths() -> None:
    assert folder_names(["cat", "dog"]) == ["cat", "dog"]
    names = folder_names(["../../etc", "a/b", "a\\b", "..", "Straße 1", "CAT", "cat", "‮"])
    assert not any("/" in name or "\\" in name or name.strip(".") == "" for name in names)
    assert names[4:7] == ["Straße 1", "class-5-CAT", "class-6-cat"]
    assert len({name.casefold() for name in names}) == len(names)
