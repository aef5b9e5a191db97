"""Contact sheets, confusions and the data map: which images are shown, as files that open."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from noisegate.evaluation.sample_value.records import ExecutionRecord
from noisegate.store import sample_tables

from .conftest import CLASSES, House, tint

SVG = "{http://www.w3.org/2000/svg}"


def shown(house: House, path: str) -> list[tuple[str, np.ndarray]]:
    """The words and the pixels of each picture of an SVG sheet."""
    answer = house.client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/svg+xml"
    found = []
    for group in ElementTree.fromstring(answer.content).iter(f"{SVG}g"):
        words, image = group.find(f"{SVG}title"), group.find(f"{SVG}image")
        assert words is not None
        assert image is not None
        data = base64.b64decode(image.attrib["href"].partition(",")[2])
        found.append((words.text or "", np.asarray(Image.open(io.BytesIO(data)))))
    return found


def test_a_sheet_shows_the_rows_of_the_table_as_photographs(house: House, recorded: str) -> None:
    rows = house.table(recorded, reason="label_issue")["items"]
    pictures = shown(house, f"/experiments/{recorded}/samples/sheet.svg?reason=label_issue")
    assert [int(words.partition(":")[0]) for words, _ in pictures] == [row["image"] for row in rows]
    for (words, pixels), row in zip(pictures, rows, strict=True):
        assert f"{row['image']}: {row['label']}" in words
        name, number = re.findall(r"(\w+)-(\d+)\.png", row["name"])[0]
        original = np.asarray(Image.open(io.BytesIO(tint(name, int(number)))))
        np.testing.assert_array_equal(pixels[::12, ::12], original)


def test_pages_of_a_sheet_and_png(house: House, recorded: str) -> None:
    first = shown(house, f"/experiments/{recorded}/samples/sheet.svg?count=5")
    later = shown(house, f"/experiments/{recorded}/samples/sheet.svg?count=3&offset=2")
    assert [words for words, _ in first[2:]] == [words for words, _ in later]
    answer = house.client.get(f"/experiments/{recorded}/samples/sheet.png?count=5")
    assert Image.open(io.BytesIO(answer.content)).width >= 5 * 96


@pytest.mark.parametrize(("subgroup", "right", "low"), [("lc", 1, 1), ("hc", 1, 0), ("ls", 0, 1), ("hs", 0, 0)])
def test_subgroups_begin_with_their_extreme(house: House, recorded: str, subgroup: str, right: int, low: int) -> None:
    rows = [row for row in house.table(recorded)["items"] if row["confidence"] is not None]
    half = [row for row in rows if (row["label"] == row["suggested"]) == bool(right)]
    expected = sorted(half, key=lambda row: (row["confidence"] if low else -row["confidence"], row["image"]))[:4]
    pictures = shown(house, f"/experiments/{recorded}/samples/sheet.svg?subgroup={subgroup}&count=4")
    assert [int(words.partition(":")[0]) for words, _ in pictures] == [row["image"] for row in expected]


def test_confusions_add_up_and_their_images_are_theirs(house: House, recorded: str) -> None:
    matrix = house.client.get(f"/experiments/{recorded}/samples/confusion").json()
    assert matrix["classes"] == sorted(CLASSES)
    assert matrix["called"][-1] == "noise"
    assert [sum(row) for row in matrix["counts"]] == [11, 10, 10]
    with house.resources.sessions.reading() as session:
        digests = sample_tables.records_of(session, recorded, None)
    called = np.stack([ExecutionRecord.from_bytes(house.resources.artefacts.read(one)).test_called for one in digests])
    accuracy = house.client.get(f"/results/{recorded}").json()["rows"][0]["accuracy"]["mean"]
    assert np.trace(np.array(matrix["counts"])) / called.shape[1] == pytest.approx(accuracy)
    pictures = shown(house, f"/experiments/{recorded}/samples/confusion.svg?label=red&called=red&count=200")
    votes = [int(re.findall(r"by (\d) of 2", words)[0]) for words, _ in pictures]
    assert votes == sorted(votes, reverse=True)
    assert sum(votes) / 2 == matrix["counts"][2][2]
    for words, pixels in pictures:
        assert words.startswith("test ")
        assert pixels.reshape(-1, 3).mean(axis=0).argmax() == 0, "red"


def test_the_data_map_opens(house: House, recorded: str) -> None:
    answer = house.client.get(f"/experiments/{recorded}/samples/data-map.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    described = ElementTree.fromstring(answer.content).find(f"{SVG}desc")
    assert described is not None
    assert "109 images · 2 executions · 12 recorded epochs" in (described.text or "")
    again = house.client.get(f"/experiments/{recorded}/samples/data-map.svg")
    assert again.content == answer.content
    assert Image.open(io.BytesIO(house.client.get(f"/experiments/{recorded}/samples/data-map.png").content)).width > 500


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("sheet.svg?label=grey", "label"),
        ("sheet.svg?count=201", "count"),
        ("sheet.svg?subgroup=mc", "subgroup"),
        ("confusion.svg", "label"),
        ("confusion.svg?label=red&called=pink", "called"),
        ("confusion.svg?label=noise&called=red", "label"),
        ("sheet.gif", "format"),
    ],
)
def test_refused_by_name(house: House, recorded: str, path: str, field: str) -> None:
    answer = house.client.get(f"/experiments/{recorded}/samples/{path}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
