"""The page of training images: those of the table, in its order, and the way to train without some of them."""

import html
import json
import re

from tests.samples.conftest import SPEC, House
from tests.service.pages.conftest import HTML, Parsed


def test_the_page_shows_the_table_and_leads_on(house: House, recorded: str) -> None:
    path = f"/ui/experiments/{recorded}/samples"
    assert f'href="{path}"' in house.client.get(f"/ui/experiments/{recorded}", headers=HTML).text
    text = house.client.get(path, headers=HTML).text
    Parsed(text)
    rows = house.table(recorded)["items"]
    shown = [int(place) for place in re.findall(r"/images/train/(\d+)/thumbnail", text)]
    assert shown == [row["image"] for row in rows[: len(shown)]]
    assert 10 < len(shown) <= 48
    doubtful = house.client.get(f"{path}?reason=label_issue", headers=HTML).text
    wanted = {row["image"] for row in rows if "label_issue" in row["reasons"]}
    assert {int(place) for place in re.findall(r"/images/train/(\d+)/thumbnail", doubtful)} == wanted
    assert house.client.get(f"{path}?reason=nonsense", headers=HTML).status_code == 422


def test_what_is_ticked_is_left_out_of_the_next_experiment(house: House, recorded: str) -> None:
    page = house.client.get(f"/ui/experiments/new?like={recorded}&without=7&without=3", headers=HTML)
    found = re.search(r'<textarea id="document"[^>]*>(.*?)</textarea>', page.text, re.S)
    assert found
    document = json.loads(html.unescape(found[1]))
    assert document["exclude"] == {"ids": [3, 7]}
    plan = house.client.post("/experiments?dry_run=true", json=document)
    assert plan.status_code == 200, plan.text


def test_an_experiment_that_recorded_nothing_says_how(house: House, recorded: str) -> None:
    spec = {name: value for name, value in SPEC.items() if name != "record"}
    id = house.client.post("/experiments", json=spec).json()["id"]
    page = house.client.get(f"/ui/experiments/{id}/samples", headers=HTML)
    assert page.status_code == 200
    assert '"record": "samples"' in Parsed(page.text).text
    house.client.post(f"/experiments/{id}/cancel")
