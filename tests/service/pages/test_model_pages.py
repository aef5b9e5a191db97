"""Models as pages; and the code that they show, which has to run."""

import re
import subprocess
import sys
from pathlib import Path

from starlette.testclient import TestClient

from service.pages.code import model_without_service
from service.pages.plots import _ceiling, reliability_plot, risk_coverage_plot
from tests.service.factories import png_bytes, ready_dataset, served_model
from tests.service.pages.conftest import HTML, House, Parsed
from tests.service.test_cards import card
from tests.service.test_decision_rules import reference


def test_the_page_has_the_numbers_of_the_card(house: House) -> None:
    page = Parsed(house.get(f"/ui/models/{house.ids['model']}").text)
    for words in ("72.7", "98.76", "trained on", "0.1234", "reject_score", "4.91"):
        assert words in page.text, words
    links = {link.get("href") for link in page.all("a")}
    assert f"/models/{house.ids['model']}/files/model.onnx" in links


def test_the_list_narrows_to_an_experiment(house: House) -> None:
    assert house.ids["model"] in house.get(f"/ui/models?experiment={house.ids['trained_by']}").text
    assert house.ids["model"] not in house.get(f"/ui/models?experiment={house.ids['experiment']}").text


def test_the_code_without_a_service_decides_as_the_service_does(house: House, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {house.tokens['admin']}", "Content-Type": "image/png"}
    for name in ("model.onnx", "model.json", "reference.safetensors"):
        file = house.client.get(f"/models/{house.ids['model']}/files/{name}", headers=headers)
        (tmp_path / name).write_bytes(file.content)
    picture = png_bytes(40, 90)
    (tmp_path / "image.jpg").write_bytes(picture)
    (tmp_path / "ten_lines.py").write_text(model_without_service())
    done = subprocess.run([sys.executable, "ten_lines.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    said = house.client.post(f"/classify?model={house.ids['model']}", content=picture, headers=headers).json()
    assert done.stdout.strip() == f"{said['label']} {said['rejected']} {said['reason']}"


def test_plots_place_points_within_their_frame() -> None:
    for plot in (risk_coverage_plot(card().risk_coverage), reliability_plot(card().calibration_error)):
        for line in plot.lines:
            for pair in line.points.split():
                x, y = map(float, pair.split(","))
                assert 46 <= x <= 410
                assert 10 <= y <= 220
    assert [_ceiling(value) for value in (0, 0.3, 1.2, 5, 7, 27.28)] == [1.0, 0.5, 2.0, 5.0, 10.0, 50.0]


def test_models_of_every_kind_have_a_page(client: TestClient) -> None:
    """Without a card, without a holdout, and with a rule, whose thresholds the card does not have."""
    resources = client.app_state["resources"]
    with resources.sessions.begin() as session:
        ready_dataset(session, resources.artefacts)
    bare = served_model(resources.sessions, resources.artefacts, holdout_accuracy=None)
    by_rule = {"max_false_reject": 0.05, "threshold": None, "rejected": 0.04, "low": 0.03, "high": 0.05}
    ruled = served_model(
        resources.sessions, resources.artefacts, card=card(false_reject=[by_rule]), reference=reference()
    )
    rule = {"scores": [{"score": "knn"}, {"score": "reject_score"}]}
    assert client.put(f"/models/{ruled}/decision", json=rule).status_code == 200
    for id, words in ((bare, "has no card"), (ruled, "knn and reject_score")):
        page = client.get(f"/ui/models/{id}", headers=HTML)
        assert page.status_code == 200, page.text
        assert words in re.sub(r"\s+", " ", Parsed(page.text).text)
        assert client.get(f"/ui/classify?model={id}", headers=HTML).status_code == 200
