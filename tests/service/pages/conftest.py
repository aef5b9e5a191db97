"""A service that asks for keys, with things of one owner in it whose names are HTML or very long."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from noisegate.decision_rule import REJECT_SCORE
from noisegate.evaluation.open_set import Judged
from noisegate.evaluation.samples import SampleTable
from noisegate.manifest import Calibration
from noisegate.store import executions, keys, models, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.keys import Scope
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.access import PUBLIC
from service.pages import PAGES
from tests.conftest import wait_until
from tests.factories import claim_one, outcome, spec
from tests.service.conftest import run_client, settings_in
from tests.service.factories import TEST_COUNT, TRAIN_COUNT, ready_dataset, served_model
from tests.service.test_cards import card
from tests.service.test_decision_rules import reference

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
EVIL = "<script>alert(1)</script>"
LONG = "ä" * 180 + '"><img src=x onerror=alert(2)>'[:20]
VOID = {"meta", "br", "img", "link", "path", "rect", "circle", "line", "input", "hr"}


class Parsed(HTMLParser):
    """A page: its words, elements and attributes; every element that is opened has to be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == [], "all elements are closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this kind."""
        return [attributes for found, attributes in self.elements if found == tag]


@dataclass(frozen=True)
class House:
    """The service, the keys of three callers, and the ids of what is Ada's."""

    client: TestClient
    tokens: dict[str, str]
    ids: dict[str, str]

    def get(self, path: str, who: str | None = "ada") -> httpx2.Response:
        """What a browser of this caller gets; redirects are not followed."""
        shown = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return self.client.get(path, headers=HTML | shown, follow_redirects=False)

    def filled(self, path: str) -> str:
        """The path of a page with Ada's things in it. A parameter that is new has to be entered here."""
        rooms = {"experiments": "experiment", "datasets": "dataset", "models": "model"}
        values = {
            "experiment_id": self.ids["experiment"],
            "reference": self.ids.get(rooms.get(path.removeprefix("/ui/").split("/")[0], ""), ""),
            "cell": "0",
            "execution": "0",
            "name": "app.css",
        }
        return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path)


def page_paths(method: str = "GET") -> list[str]:
    """The paths of all pages that answer to a method, but for files and what needs no key."""
    routes = [route for page in PAGES for route in page.router.routes]
    paths = [route.path for route in routes if method in route.methods]
    return [path for path in paths if path not in PUBLIC and not path.startswith("/ui/static/")]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, broker_url: str) -> Iterator[House]:
    settings = settings_in(tmp_path_factory.mktemp("pages") / "data", migrated_database, broker_url)
    settings = settings.model_copy(update={"authentication": "required", "failures_per_minute": 1_000_000})
    with run_client(settings) as client:
        sessions = client.app_state["resources"].sessions
        ids = things(sessions.of("ada"), Artefacts(settings.artefact_root))
        with sessions.begin() as session:
            some = [Scope.READ, Scope.CLASSIFY, Scope.TRAIN]
            tokens = {who: keys.create(session, owner=who, scopes=some)[0] for who in ("ada", "bob")}
            tokens |= {scope.value: keys.create(session, owner="ada", scopes=[scope])[0] for scope in Scope}
        made = House(client, tokens, ids)
        wait_until(lambda: made.get("/ui", "bob").status_code == 200, seconds=10, what="the keys open")
        yield made


# Of the test images, whose classes alternate: what each was given (2 is noise), how surely, and whether it was rejected.
GIVEN = np.array([0, 1, 0, 0, 0, 1, 2, 1] + [0, 1] * 6)
PROBABILITY = np.linspace(0.5, 0.99, TEST_COUNT)
REJECTED = (GIVEN == 2) | (PROBABILITY < 0.55)


def answers() -> bytes:
    """What an execution said of the 20 test images."""
    table = SampleTable([EVIL, LONG])
    labels = [(EVIL, LONG)[place % 2] for place in range(TEST_COUNT)]
    said = Judged({REJECT_SCORE: 1 - PROBABILITY}, {}, np.minimum(GIVEN, 1), GIVEN, PROBABILITY, REJECTED)
    table.add("known", TRAIN_COUNT + np.arange(TEST_COUNT), labels, said)
    return table.to_parquet()


def things(adas: Sessions, artefacts: Artefacts) -> dict[str, str]:
    """A dataset, a model with its card, and an experiment of which three of four executions have ended; their ids."""
    with adas.begin() as session:
        dataset = ready_dataset(session, artefacts, EVIL, classes=[EVIL, LONG]).id
    calibration = Calibration(samples=99, quantiles=[step / 10 for step in range(11)], called_noise=0)
    model = served_model(adas, artefacts, dataset=dataset, card=card(), reference=reference(), calibration=calibration)
    wanted = spec(dataset, executions=2).model_copy(update={"name": LONG})
    with adas.begin() as session:
        experiment = planning.create(session, planning.plan(session, wanted, Settings().caps)).id
    digest = artefacts.put_bytes(answers())
    for accuracy in (0.7, 0.8, 0.9):
        with adas.begin() as session:
            _, lease = claim_one(session)
            executions.record_success(session, lease, outcome(accuracy), samples_digest=digest)
    with adas.reading() as session:
        trained_by = models.get(session, model).experiment_id
    return {"dataset": dataset, "model": model, "experiment": experiment, "trained_by": trained_by}
