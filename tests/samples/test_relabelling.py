"""Other labels for the images of a dataset, as a new version of it."""

from typing import Any

import numpy as np
import pytest

from noisegate.store import datasets
from noisegate.store.packed import open_packed
from worker.ingestion import ingest_one

from .conftest import House


def send(house: House, name: str, table: str, base: str = "tints") -> dict[str, Any]:
    path = f"/datasets?base={base}&name={name}"
    answer = house.client.post(path, content=table.encode(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202, answer.text
    ingest_one(house.resources, answer.json()["id"])
    found: dict[str, Any] = house.client.get(f"/datasets/{answer.json()['id']}").json()
    return found


def test_the_table_of_samples_with_other_labels_is_a_version(
    house: House, recorded: str, dataset: dict[str, Any]
) -> None:
    """As a person would do it: the CSV of the table, its worst rows corrected."""
    lines = house.client.get(f"/experiments/{recorded}/samples?format=csv").text.splitlines()
    place = lines[0].split(",").index('"label"')
    for number in (1, 2, 3):
        cells = lines[number].split(",")
        assert cells[place] == '"green"'
        cells[place] = '"red"'
        lines[number] = ",".join(cells)
    cells = lines[4].split(",")
    cells[place] = ""
    lines[4] = ",".join(cells)
    version = send(house, "relabelled", "\n".join(lines))
    assert version["state"] == "ready", version["error"]
    assert (version["source"], version["base"]["id"]) == ("labels", dataset["id"])
    assert sum(version["counts"]["train"].values()) == sum(dataset["counts"]["train"].values()) - 1
    assert version["counts"]["train"]["green"] <= dataset["counts"]["train"]["green"] - 3
    assert version["counts"]["test"] == dataset["counts"]["test"]
    assert version["originals_bytes"] == 0, "they are shared"
    report = house.client.get(f"/datasets/{version['id']}/report").json()
    assert (report["layout"], report["left_out_count"]) == ("labels for a base", 1)
    assert "3 have another label, 1 are left out" in report["notes"][0]


def test_pixels_follow_their_images(house: House, dataset: dict[str, Any]) -> None:
    with house.resources.sessions.reading() as session:
        before = open_packed(house.resources.artefacts, datasets.get(session, "tints"))
    others = [before.classes[(before.labels[place] + 1) % 3] for place in (0, 7)]
    version = send(house, "two changed", f"image;label\n0;{others[0]}\n7;{others[1]}\n")
    assert version["state"] == "ready", version["error"]
    with house.resources.sessions.reading() as session:
        after = open_packed(house.resources.artefacts, datasets.get(session, "two changed"))
    labels = {image.tobytes(): label for image, label in zip(before.images, before.labels, strict=True)}
    for place, name in zip((0, 7), others, strict=True):
        labels[before.images[place].tobytes()] = before.classes.index(name)
    assert len(after.images) == len(before.images)
    changed = [labels[image.tobytes()] != label for image, label in zip(after.images, after.labels, strict=True)]
    # The twins have the same pixels, of which one may have another label.
    assert np.sum(changed) <= 1


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("image,label\n0,pink\n", "line 2 says 'pink'"),
        ("image,label\n99999,red\n", "line 2 names '99999'"),
        ("image,label\n-1,red\n", "line 2 names '-1'"),
        ("image,label\n1,red\n1,blue\n", "line 3 names an image for the second time"),
        ("name,label\nnone.png,red\n", "names an image that the base has not"),
        ("file,class\n1,red\n", "the table has the columns file, class"),
        ("image,label\n", "all 0 labels"),
        ("image,label\n" + "".join(f"{place},red\n" for place in range(121)), "would have no training image left"),
    ],
)
def test_refused(house: House, dataset: dict[str, Any], table: str, words: str) -> None:
    found = send(house, f"wrong {abs(hash(table))}", table)
    assert found["state"] == "failed"
    assert words in found["error"]["detail"]
    assert found["error"]["remedy"]


@pytest.mark.parametrize(
    ("query", "field"), [("", "base"), ("base=tints&dry_run=true", "dry_run"), ("base=none", "base")]
)
def test_a_table_alone_is_no_dataset(house: House, dataset: dict[str, Any], query: str, field: str) -> None:
    answer = house.client.post(
        f"/datasets?{query}", content=b"image,label\n0,red\n", headers={"Content-Type": "text/csv"}
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
