"""What the slider of the page for classifying is made of."""

import numpy as np
import pytest

from noisegate.decision_rule import REJECT_SCORE
from noisegate.rejection.reference import HeldOut, Reference
from tests.service.pages.conftest import House, Parsed
from tests.service.test_decision_rules import HELD, reference


def test_coverage_follows_from_the_thresholds(house: House) -> None:
    shown = {"Authorization": f"Bearer {house.tokens['ada']}"}
    path = f"/models/{house.ids['model']}/decision/coverage"
    found = house.client.get(path, headers=shown).json()
    assert (found["rule"], found["held_out_images"]) == (None, HELD)
    values = np.linspace(0, 0.1, HELD) * 2
    budgets = [point["max_false_reject"] for point in found["points"]]
    assert budgets == sorted(budgets)
    assert budgets[0] == pytest.approx(0.01), "1 of 100: less cannot be promised"
    for point in found["points"]:
        assert list(point["thresholds"]) == [REJECT_SCORE]
        assert point["coverage"] == pytest.approx((values <= point["thresholds"][REJECT_SCORE]).mean())
        assert point["error"] is None, "a reference from before it was kept"
    by_two = house.client.get(path, params={"rule": "knn,reject_score"}, headers=shown).json()
    assert list(by_two["points"][0]["thresholds"]) == ["knn", "reject_score"]
    at = next(point for point in by_two["points"] if point["max_false_reject"] == 0.05)
    assert at["coverage"] >= 0.94
    assert house.client.get(path, params={"rule": "nonsense"}, headers=shown).status_code == 422


def test_references_keep_which_held_out_images_were_right_and_old_ones_are_read() -> None:
    old = Reference.from_bytes(reference())
    assert old.held
    assert old.held.correct is None
    right = np.arange(HELD) % 3 > 0
    new = Reference(
        old.quantiles,
        old.nonconformity,
        old.class_counts,
        old.reject_scores,
        old.fitted,
        HeldOut(old.held.unknownness, old.held.is_noise, right),
    )
    again = Reference.from_bytes(new.to_bytes())
    assert again.held
    assert again.held.correct is not None
    assert (again.held.correct == right).all()
    assert new.nbytes == old.nbytes + HELD


def test_the_page_offers_models_rules_and_samples(house: House) -> None:
    page = Parsed(house.get("/ui/classify").text)
    values = {option.get("value") for option in page.all("option")}
    assert {"default", house.ids["model"], "knn", "knn,reject_score"} <= values
    pictures = [image["src"] for image in page.all("img")]
    assert len(pictures) == 10
    shown = {"Authorization": f"Bearer {house.tokens['ada']}"}
    assert house.client.get(str(pictures[-1]), headers=shown).status_code == 200
    assert house.get("/ui/classify?model=nothing").status_code == 404
    assert "no default model" in Parsed(house.get("/ui/classify", "bob").text).text
