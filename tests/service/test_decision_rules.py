"""Rules of models: set, asked for by a request, carried out, and refused where a model cannot follow them."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from noisegate.decision_rule import REJECT_SCORE
from noisegate.rejection import SCORES
from noisegate.rejection.knn import unit_rows
from noisegate.rejection.reference import HeldOut, Reference
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from tests.conftest import wait_until
from tests.service.factories import served_model

HELD = 99
GRAY, RED = (100, 100, 100), (200, 10, 10)
PNG = {"Content-Type": "image/png"}


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(file, "PNG")
    return file.getvalue()


def reference() -> bytes:
    """Of a model whose features are mean colours: all training images were gray, and held-out ones nearly so."""
    gray = unit_rows(np.array([[1.0, 1.0, 1.0]] * 5))
    steps = np.linspace(0, 0.1, HELD)
    unknownness = {REJECT_SCORE: steps * 2, **dict.fromkeys(SCORES, steps)}
    fitted = {
        name: {"features": gray, "neighbours": np.array([5])}
        for name, scorer in SCORES.items()
        if scorer.arrays == ("features", "neighbours")
    }
    made = Reference(
        quantiles={
            name: np.linspace(0, 0.1, 11) for name, scorer in SCORES.items() if not scorer.arrays or name in fitted
        },
        nonconformity=np.sort(steps),
        class_counts=np.array([50, 49]),
        reject_scores=np.sort(steps),
        fitted=fitted,
        held=HeldOut(unknownness, np.zeros(HELD, dtype=np.bool_)),
    )
    return made.to_bytes()


@pytest.fixture
def judging(model: str, sessions: Sessions, artefacts: Artefacts) -> str:
    """A model with a reference; it finds every image to be a dog, and red ones unlike all that it has seen."""
    return served_model(sessions, artefacts, reference=reference())


def classified(client: TestClient, model: str, colour: tuple[int, int, int], **query: Any) -> dict[str, Any]:
    answer = client.post("/classify", content=png(colour), headers=PNG, params={"model": model, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_request_names_the_scores_that_decide(client: TestClient, judging: str) -> None:
    plain = classified(client, judging, RED)
    assert (plain["rejected"], plain["reason"], "rule" in plain) == (False, None, False)
    by_knn = classified(client, judging, RED, rule="knn")
    assert (by_knn["rejected"], by_knn["reason"]) == (True, "unknown")
    (found,) = by_knn["rule"]
    assert (found["score"], found["rejects"], found["higher_means"]) == ("knn", True, "unknown")
    assert found["value"] == by_knn["scores"]["knn"]["value"] > found["threshold"]
    accepted = classified(client, judging, GRAY, rule="knn")
    assert (accepted["rejected"], accepted["reason"]) == (False, None)
    both = classified(client, judging, RED, rule="reject_score,knn")
    assert [one["score"] for one in both["rule"]] == ["reject_score", "knn"]
    assert (both["rejected"], both["reason"]) == (True, "unknown")


def test_the_threshold_is_that_of_the_budget(client: TestClient, judging: str) -> None:
    """Of 99 held-out images and 5 %, the 95th smallest: steps of 0.1 / 98."""
    (found,) = classified(client, judging, GRAY, rule="knn")["rule"]
    assert found["threshold"] == pytest.approx(94 * 0.1 / 98)
    (found,) = classified(client, judging, GRAY, rule="knn", max_false_reject=0.2)["rule"]
    assert found["threshold"] == pytest.approx(79 * 0.1 / 98)


def test_a_rule_is_set_on_a_model_and_taken_away(client: TestClient, judging: str) -> None:
    before = client.get(f"/models/{judging}/decision").json()
    assert before["rule"] is None
    assert before["available"] == [REJECT_SCORE, *SCORES], "in the order of answers"
    answer = client.put(f"/models/{judging}/decision", json={"scores": [{"score": "knn", "reason": "unsure"}]})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["rule"]["scores"] == [{"score": "knn", "reason": "unsure"}]
    assert told["smallest_max_false_reject"] == 0.01
    for budget in told["budgets"]:
        assert budget["held_out_rejected"] <= budget["max_false_reject"]
    assert client.get(f"/models/{judging}").json()["rule"] == told["rule"]
    wait_until(lambda: classified(client, judging, RED)["reason"] == "unsure", seconds=10, what="the rule decides")
    assert classified(client, judging, RED, rule="default")["rejected"] is False, "a request may ask otherwise"
    assert client.delete(f"/models/{judging}/decision", params={"dry_run": True}).status_code == 204
    assert client.get(f"/models/{judging}").json()["rule"] == told["rule"]
    assert client.delete(f"/models/{judging}/decision").status_code == 204
    wait_until(lambda: classified(client, judging, RED)["reason"] is None, seconds=10, what="the rule is gone")


def test_what_a_model_cannot_follow_is_refused_naming_the_field(client: TestClient, judging: str, model: str) -> None:
    cases: list[tuple[dict[str, str | float], str, str]] = [
        ({"rule": "nonsense"}, "rule", "there is no score 'nonsense'"),
        ({"rule": "knn,knn"}, "rule", "names knn twice"),
        ({"rule": "knn", "max_false_reject": 0.001}, "max_false_reject", "no less than 0.01"),
    ]
    for query, field, why in cases:
        answer = client.post("/classify", content=png(RED), headers=PNG, params={"model": judging, **query})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
        assert why in answer.text
        assert answer.json()["errors"][0]["remedy"]
    without = client.post("/classify", content=png(RED), headers=PNG, params={"model": model, "rule": "knn"})
    assert (without.status_code, "keeps no scores" in without.text) == (422, True)
    bodies: list[dict[str, Any]] = [
        {"scores": []},
        {"scores": [{"score": "nonsense"}]},
        {"scores": [{"score": "knn"}] * 3},
        {"score": "knn"},
    ]
    for body in bodies:
        refused = client.put(f"/models/{judging}/decision", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"].split(".")[0] in {"scores", "score"}) == (
            422,
            True,
        )
    refused = client.put(f"/models/{model}/decision", json={"scores": [{"score": "knn"}]})
    assert (refused.status_code, "keeps no scores" in refused.text) == (422, True)
