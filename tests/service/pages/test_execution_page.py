"""Confusion matrices and the images behind their numbers, against scikit-learn's and against the answers themselves."""

import re
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from tests.service.factories import TEST_COUNT, TRAIN_COUNT
from tests.service.pages.conftest import EVIL, GIVEN, LONG, PROBABILITY, REJECTED, House, Parsed

OWN = np.arange(TEST_COUNT) % 2
NAMES = [EVIL, LONG, "noise"]


def asked(house: House, what: str, **query: Any) -> Any:
    headers = {"Authorization": f"Bearer {house.tokens['ada']}"}
    path = f"/results/{house.ids['experiment']}/{what}"
    answer = house.client.get(path, params={"cell": 0, "execution": 0} | query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_matrix_is_scikit_learns(house: House) -> None:
    (found,) = asked(house, "confusion")["sets"]
    true = confusion_matrix(OWN, GIVEN, labels=[0, 1, 2])[:2]
    # Rows and columns are in the order of their names, noise last.
    order = sorted((0, 1), key=lambda place: NAMES[place])
    assert (found["name"], found["images"]) == ("known", TEST_COUNT)
    assert found["labels"] == [NAMES[place] for place in order]
    assert found["given"] == [*found["labels"], "noise"]
    assert found["counts"] == true[order][:, [*order, 2]].tolist()
    assert found["rejected"] == [int(REJECTED[place == OWN].sum()) for place in order]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, np.ones(TEST_COUNT, dtype=bool)),
        ({"label": LONG, "given": LONG}, (OWN == 1) & (GIVEN == 1)),
        ({"label": LONG, "given": EVIL}, (OWN == 1) & (GIVEN == 0)),
        ({"given": "noise"}, GIVEN == 2),
        ({"rejected": True}, REJECTED),
        ({"right": False}, OWN != GIVEN),
        ({"right": False, "rejected": False}, (OWN != GIVEN) & ~REJECTED),
    ],
)
@pytest.mark.parametrize("order", ["surest", "least_sure", "most_unknown", "place"])
def test_the_images_of_a_number(house: House, query: dict[str, Any], wanted: np.ndarray, order: str) -> None:
    found = asked(house, "answers", order=order, **query)
    places = [one["image"] - TRAIN_COUNT for one in found["items"]]
    assert found["total"] == len(places) == wanted.sum()
    assert set(places) == set(np.flatnonzero(wanted))
    shown = [one["probability"] for one in found["items"]]
    assert shown == pytest.approx(PROBABILITY[places], abs=1e-6)
    if order != "place":
        assert shown == sorted(shown, reverse=order == "surest")
    assert [one["rejected"] for one in found["items"]] == REJECTED[places].tolist()


def test_parts_of_them(house: House) -> None:
    whole = asked(house, "answers")["items"]
    parts = [asked(house, "answers", first=first, limit=7)["items"] for first in (0, 7, 14)]
    assert [one for part in parts for one in part] == whole


def test_what_is_not_there(house: House) -> None:
    headers = {"Authorization": f"Bearer {house.tokens['ada']}"}

    def status(path: str) -> int:
        return house.client.get(f"/results/{path}", headers=headers).status_code

    id = house.ids["experiment"]
    assert status(f"{id}/confusion?cell=1&execution=1") == 404, "it has not ended"
    assert status(f"{id}/confusion?cell=7") == 404
    assert status(f"{id}/answers?label=nothing") == 422
    assert status(f"{id}/answers?set=nothing") == 422
    assert status(f"{house.ids['trained_by']}/confusion") == 404, "it keeps none"


def test_a_number_of_the_page_leads_to_its_images(house: House) -> None:
    path = f"/ui/experiments/{house.ids['experiment']}/cells/0/executions/0"
    page = Parsed(house.get(path).text)
    numbers = [link for link in page.all("a") if " given " in str(link.get("aria-label"))]
    counts = {int(str(link["aria-label"]).split(" of ")[0]) for link in numbers}
    assert counts == set(confusion_matrix(OWN, GIVEN).ravel()) - {0}
    links = [str(link["href"]) for link in numbers]
    total = 0
    for link in links:
        assert link.startswith(path)
        shown = re.findall(rf"/datasets/{house.ids['dataset']}/images/test/(\d+)/thumbnail", house.get(link).text)
        assert shown
        total += len(shown)
    assert total == TEST_COUNT
    waiting = Parsed(house.get(path.replace("cells/0/executions/0", "cells/1/executions/1")).text)
    assert "queued" in waiting.text
    assert not waiting.all("table")
