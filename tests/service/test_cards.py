import base64
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from starlette.testclient import TestClient

from noisegate.api.card import Card
from noisegate.api.dataset_report import DatasetReport, ImagesFound, Spread
from noisegate.data.duplicates import find_duplicates
from noisegate.manifest import Calibration
from noisegate.regularisation import Candidate, Regularisation
from noisegate.store import datasets
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Model
from tests.factories import judgement
from tests.rejection.manifests import reference
from tests.service.factories import png_bytes, ready_dataset, served_model

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9"}


def family(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": f"images called {name}",
        "group": "noise",
        "trained": False,
        "images": 500,
        "auroc": 0.9876,
        "scores": {"msp": 0.5, "knn": 0.25},
        "rejected": 0.75,
        "rejected_as_noise": 0.5,
        "rejected_at": [{"max_false_reject": 0.05, "rejected": 0.75}],
    } | changes


def card(**changes: Any) -> Card:
    bins = [{"count": 0, "confidence": None, "accuracy": None}, {"count": 10, "confidence": 0.9, "accuracy": 0.8}]
    document = {
        "test_images": 1234,
        "accuracy": 0.7272,
        "temperature": 1.5,
        "calibration_error": {"before": {"error": 0.1111, "bins": bins}, "after": {"error": 0.0222, "bins": bins}},
        "risk_coverage": {"aurc": 0.1234, "curve": [{"coverage": 0.1, "risk": 0.0}, {"coverage": 1.0, "risk": 0.2728}]},
        "false_reject": [
            {"max_false_reject": 0.05, "threshold": 0.6, "rejected": 0.0491, "low": 0.045, "high": 0.0535}
        ],
        "families": [
            family("gaussian"),
            family("inverted", group="natural_structure", auroc=0.71),
            family("uniform", trained=True, auroc=1.0),
            family("blobs", auroc=None, scores={}, rejected=None, rejected_as_noise=None, rejected_at=[]),
        ],
        "untrained_noise": {"families": ["gaussian"], "auroc": 0.9876, "scores": {}, "rejected": 0.75},
    }
    return Card.model_validate(document | changes)


@pytest.fixture
def modelled(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> str:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    return served_model(sessions, artefacts, card=card(), reference=reference(2, width=3).to_bytes())


class Text(HTMLParser):
    """The words of a page, and whether every element that was opened was closed."""

    VOID = ("meta", "br", "img", "link", "path", "use", "rect", "circle")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data.split()


def test_the_card_is_json_by_id_and_by_alias(client: TestClient, modelled: str) -> None:
    answer = client.get(f"/models/{modelled}/card")
    assert answer.status_code == 200
    document = answer.json()
    assert Card.model_validate(document["card"]) == card()
    assert (document["model"]["id"], document["model"]["classes"]) == (modelled, ["cat", "dog"])
    assert document["spec"]["dataset"] == "pets"
    assert client.get("/models/default/card").json() == document
    assert answer.headers["vary"] == "Accept"


def test_a_browser_gets_a_page_with_the_numbers(client: TestClient, modelled: str) -> None:
    answer = client.get("/models/default/card", headers=HTML)
    assert answer.headers["content-type"].startswith("text/html")
    page = Text(answer.text)
    assert page.open == []
    words = " ".join(page.words)
    for expected in (
        "72.7 % accuracy on 1,234 test images",
        "4.91 %",
        "4.50 % to 5.35 %",
        "98.76 %",
        "2.2 %",
        modelled,
    ):
        assert expected in words, expected
    # Trained families are marked; a family of which nothing is known says so.
    assert "images called uniform trained on 100.00 %" in words
    assert "images called blobs – – –" in words
    assert "images called inverted 71.00 %" in words


def test_the_page_needs_nothing_from_elsewhere(client: TestClient, modelled: str) -> None:
    page = Text(client.get("/models/default/card", headers=HTML).text)
    images = [value or "" for name, value in page.attributes if name == "src"]
    for image, word in zip(images, ("coverage", "calibration"), strict=True):
        drawing = base64.b64decode(image.removeprefix("data:image/svg+xml;base64,"))
        assert ElementTree.fromstring(drawing).tag.endswith("svg")
        assert word in drawing.decode()
    links = [value for name, value in page.attributes if name in ("href", "xlink:href") and value]
    assert all(link.startswith(("../", "#")) for link in links), "below a proxy's prefix, too"


def test_names_are_escaped(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts, name="<b>pets</b>")
    served_model(sessions, artefacts, dataset="<b>pets</b>", card=card(families=[family("<script>")]))
    page = client.get("/models/default/card", headers=HTML).text
    assert "<script>" not in page
    assert "<b>pets" not in page


def test_a_model_without_a_holdout_says_that_it_has_no_threshold(
    client: TestClient, sessions: Sessions, artefacts: Artefacts
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    calibration = {"before": card().calibration_error.before.model_dump(), "after": None}
    served_model(
        sessions,
        artefacts,
        card=card(temperature=None, false_reject=[], calibration_error=calibration, untrained_noise=None, families=[]),
    )
    words = " ".join(Text(client.get("/models/default/card", headers=HTML).text).words)
    assert "no threshold: trained without a holdout" in words


def test_a_model_that_has_not_learnt_says_so_first(
    client: TestClient, sessions: Sessions, artefacts: Artefacts, modelled: str
) -> None:
    id = served_model(sessions, artefacts, card=card(), judged=judgement(0.5, "called_noise"))
    answer = client.get(f"/models/{id}/card").json()
    (finding,) = answer["findings"]
    assert (finding["code"], finding["remedy"]) == ("called_noise", "against called_noise.")
    assert answer["model"]["judgement"]["findings"] == [finding]
    page = " ".join(Text(client.get(f"/models/{id}/card", headers=HTML).text).words)
    assert "This model has not learnt" in page
    assert "Found: called_noise. What to do: against called_noise." in page
    assert page.index("has not learnt") < page.index("accuracy on")
    # One that was never judged is not said to have failed.
    assert client.get(f"/models/{modelled}").json()["judgement"] is None
    assert client.get(f"/models/{modelled}/card").json()["findings"] == []
    assert "has not learnt" not in client.get(f"/models/{modelled}/card", headers=HTML).text


def test_the_card_says_which_of_its_images_are_copies(client: TestClient, sessions: Sessions, modelled: str) -> None:
    assert client.get(f"/models/{modelled}/card").json()["data"] is None, "its dataset is older than reports"
    pixels = np.random.default_rng(1).integers(0, 256, (120, 16, 16, 3), np.uint8)
    pixels[110] = pixels[7]
    labels = np.arange(120) % 2
    names = [f"{place}.png" for place in range(120)]
    found = find_duplicates(pixels, labels, 100, names, ["cat", "dog"])
    spread = Spread(least=16, median=16, most=16)
    images = ImagesFound(formats={"PNG": 120}, width=spread, height=spread)
    report = DatasetReport(
        layout="class folders",
        notes=["'val' became test"],
        train_count=100,
        test_count=20,
        classes=[],
        images=images,
        left_out_count=3,
        left_out=[],
        duplicates=found,
    )
    with sessions.begin() as session:
        datasets.get(session, "pets").report = report
    data = client.get(f"/models/{modelled}/card").json()["data"]
    assert (data["name"], data["left_out"], data["notes"]) == ("pets", 3, ["'val' became test"])
    assert (data["test_in_train"]["exact"], data["across_classes"]["exact"]) == (1, 2)
    page = " ".join(Text(client.get(f"/models/{modelled}/card", headers=HTML).text).words)
    assert "1 of 20 test images is also a training image (1 exactly)." in page


def test_the_card_says_what_is_promised_and_of_how_many_images(
    client: TestClient, sessions: Sessions, artefacts: Artefacts, modelled: str
) -> None:
    promise = Calibration(samples=12, quantiles=[0.0, 0.5], called_noise=2)
    shown = {"threshold": 0.9, "rejected": 0.1, "low": 0.05, "high": 0.2}
    found = card(false_reject=[{"max_false_reject": 0.2436} | shown])
    id = served_model(sessions, artefacts, card=found, calibration=promise)
    page = " ".join(Text(client.get(f"/models/{id}/card", headers=HTML).text).words)
    assert "where at most 24.4 % were to be" in page
    assert "a holdout of 12 images, 2 of which it calls noise" in page
    assert "with this number of images, 24.4 % and more can be promised" in page
    before = " ".join(Text(client.get(f"/models/{modelled}/card", headers=HTML).text).words)
    assert "where at most 5 % were to be" in before
    by_folds = promise.model_copy(update={"source": "cross_validated"})
    chosen = Regularisation(weight_decay=0.3, folds=5, candidates=[Candidate(weight_decay=0.3, log_loss=0.5)])
    id = served_model(sessions, artefacts, card=found, calibration=by_folds, regularisation=chosen)
    page = " ".join(Text(client.get(f"/models/{id}/card", headers=HTML).text).words)
    assert "by cross-validation on 12 training images" in page
    assert "it calls 2 of them noise" in page
    assert "no promise" in page
    assert "weight decay 0.3, the best of 1 by cross-validation" in page
    assert "can be promised" not in page
    assert client.get(f"/models/{id}").json()["promise"]["source"] == "cross_validated"
    assert "images called noise come on top" in before


def test_a_model_without_a_card(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    id = served_model(sessions, artefacts)
    answer = client.get(f"/models/{id}/card")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "has no card" in answer.json()["detail"]
    assert client.get("/models/nobody/card").status_code == 404


def test_the_reference_is_a_file_of_the_model(client: TestClient, modelled: str) -> None:
    answer = client.get(f"/models/{modelled}/files/reference.safetensors")
    assert answer.content == reference(2, width=3).to_bytes()
    assert client.get(f"/models/{modelled}").json()["files"]["reference"]["sha256"]
    decision = client.post("/classify?top_k=1", content=png_bytes(), headers={"Content-Type": "image/png"}).json()
    assert list(decision["conformal"]["classes"]) == list(decision["probabilities"]) == ["dog"]
    assert decision["scores"]["knn"]["threshold"] is not None


def test_without_a_reference_its_file_is_not_there(
    client: TestClient, sessions: Sessions, artefacts: Artefacts
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    id = served_model(sessions, artefacts)
    answer = client.get(f"/models/{id}/files/reference.safetensors")
    assert (answer.status_code, "without a holdout" in answer.json()["detail"]) == (404, True)
    assert client.get(f"/models/{id}").json()["files"]["reference"] is None


def test_lists_of_models_do_not_load_cards(client: TestClient, modelled: str, sessions: Sessions) -> None:
    with sessions.reading() as session:
        row = session.get_one(Model, modelled)
        assert "card" not in row.__dict__
        assert row.card is not None
