"""The way of somebody new, with clicks only: from an empty folder to a picture that is rejected; and the same by the key's door."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noisegate.local import running as local
from noisegate.store import keys
from noisegate.store.keys import Scope
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from tests.browser.conftest import open_page
from tests.service.conftest import run_server
from tests.service.factories import png_bytes

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Running]:
    with local.running(tmp_path_factory.mktemp("new"), 0, workers=1) as up:
        yield up


def test_from_nothing_to_a_rejected_picture(chromium: Any, running: local.Running, tmp_path: Path) -> None:
    host = running.url.removeprefix("http://")
    for shown in open_page(chromium, tmp_path / "profile", host):
        page = shown.page
        page.goto(running.url)  # the root: a browser is led to the pages
        page.wait_for_url("**/ui")
        page.click("text=Train on the digits")
        page.wait_for_url("**/ui/experiments/exp_*")
        page.wait_for_selector("#progress .state.succeeded, #progress .state.failed", timeout=180_000)
        assert "failed" not in page.inner_text("#progress h2")
        page.wait_for_selector("#progress[data-ended=yes]")  # it has loaded itself anew
        page.wait_for_selector("#results .mean")
        page.click("#results >> text=best")
        page.wait_for_url("**/ui/models/mod_*")
        assert "Images it should not know" in page.inner_text("main")
        page.click("text=Classify with it")
        page.wait_for_selector("#budget:not([disabled])")
        page.click("[data-sample] >> nth=0")
        page.wait_for_selector("#list .state.accepted")
        page.click("[data-made=noise]")
        page.wait_for_selector("#list .state.rejected")
        assert "noise" in page.inner_text("#list li:first-child")
        page.click("#list li:first-child summary")
        page.wait_for_selector("#list table")
        assert "reject_score" in page.inner_text("#list li:first-child")
        # The slider decides again: at a budget of half of the known images no more is accepted than before.
        before = page.inner_text("#tally")
        page.locator("#budget").evaluate(
            "(input) => { input.value = input.max; input.dispatchEvent(new Event('input')); }"
        )
        assert "50 %" in page.inner_text("label[for=budget]").replace("\u00a0", " ")
        assert page.inner_text("#tally").split(" accepted")[0] <= before.split(" accepted")[0]
        shown.check()


def test_an_upload_by_clicks_and_its_matrix(chromium: Any, running: local.Running, tmp_path: Path) -> None:
    host = running.url.removeprefix("http://")
    folder = tmp_path / "shades"
    for name, colour in (("dark", 40), ("bright & <b>", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(30):
            (folder / name / f"{number}.png").write_bytes(png_bytes(12, colour + number))
    for shown in open_page(chromium, tmp_path / "profile", host):
        page = shown.page
        shown.visit("/ui/datasets")
        page.set_input_files("#folder", str(folder))
        page.wait_for_selector("#look:visible")
        assert page.input_value("#name") == "shades"
        page.click("#look")
        page.wait_for_selector("#report table")
        assert "bright & <b>" in page.inner_text("#report")
        page.click("#send")
        page.wait_for_url("**/ui/datasets/ds_*")
        while page.query_selector("main .state.ingesting"):
            page.wait_for_timeout(500)
            page.reload()
        assert "bright & <b>" in page.inner_text("main")
        page.click("text=Train on it")
        page.wait_for_url("**/ui/experiments/new?dataset=*")
        page.select_option("#preset", "")
        page.fill("#field-executions", "1")
        page.fill("#field-training-epochs", "3")
        page.fill("#field-training-batch_size", "4")
        page.select_option("#field-noise-family", '"uniform"')
        page.fill("#field-holdout", "0.2")
        page.fill("#field-training-learning_rate", "-1")
        page.wait_for_selector('.field[data-for="training.learning_rate"] .error:visible')
        page.fill("#field-training-learning_rate", "0.001")
        page.wait_for_selector("#post:not([disabled])")
        page.click("#post")
        page.wait_for_url("**/ui/experiments/exp_*")
        page.wait_for_selector("#progress .state.succeeded, #progress .state.failed", timeout=180_000)
        assert "failed" not in page.inner_text("#progress h2")
        page.wait_for_selector("#progress[data-ended=yes]")
        page.click("#results tbody a >> nth=0")
        page.click("table tbody a >> nth=0")
        page.wait_for_selector(".matrix")
        page.click(".matrix td a >> nth=0")
        page.wait_for_selector("#images img")
        shown.check_but_refusals()


@pytest.fixture(scope="module")
def locked(running: local.Running) -> Iterator[tuple[str, str]]:
    """A second service on the same data that asks for keys: its host, and a key."""
    settings = Settings(data_dir=running.data_dir, broker_url="redis://127.0.0.1:1/0", authentication="required")
    sessions = open_sessions(settings)
    with sessions.begin() as session:
        key, _ = keys.create(session, owner="ada", scopes=[Scope.READ, Scope.CLASSIFY, Scope.TRAIN])
    sessions.close()
    with run_server(settings) as (host, port):
        yield f"{host}:{port}", key


def test_by_the_key(chromium: Any, locked: tuple[str, str], tmp_path: Path) -> None:
    host, key = locked
    for shown in open_page(chromium, tmp_path / "profile", host):
        page = shown.page
        shown.visit("/ui/experiments")
        page.wait_for_url("**/ui/sign-in**")
        page.fill("#key", key[:-1] + "!")
        page.click("main button")
        page.wait_for_selector("[role=alert]")
        shown.errors.clear()  # the browser tells of the 401
        page.fill("#key", key)
        page.click("main button")
        page.wait_for_url("**/ui/experiments")
        assert page.evaluate("document.cookie") == "", "no script reads it"
        # The plan is a POST, which shows the session's token.
        shown.visit("/ui/experiments/new")
        page.wait_for_selector("#plan dl")
        page.click("text=Sign out")
        page.wait_for_url("**/ui/sign-in")
        shown.visit("/ui")
        page.wait_for_url("**/ui/sign-in**")
        shown.check()
