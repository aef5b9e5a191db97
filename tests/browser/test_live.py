"""What an open experiment shows while it trains: losses within a moment of their epoch, and a worker that has died."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from tests.browser.conftest import Watched, open_page
from tests.conftest import PATIENCE
from tests.factories import queued_experiment, shades_spec, stored_dataset
from tests.service.conftest import run_server, settings_in
from tests.worker.conftest import WorkerProcess, environment

pytestmark = pytest.mark.nightly

EPOCHS = 40
# When which loss was first on the screen, by the browser's clock, which is this machine's.
_SEEN = """
new MutationObserver(() => {
  const shown = document.querySelector("[data-running] [data-epochs]")?.textContent;
  if (shown) (window.seen ??= {})[parseInt(shown)] ??= Date.now() / 1000;
}).observe(document, {subtree: true, childList: true, characterData: true});
"""


@pytest.fixture
def settings(tmp_path: Path, migrated_database: Path, broker_url: str) -> Settings:
    """Leases are noticed within seconds, and nothing is trained yet."""
    quick = {"lease_seconds": 6.0, "heartbeat_seconds": 1.0, "reaper_seconds": 0.5, "wakeup_seconds": 2.0}
    single = {"worker_processes": 1, "data_processes": 0}
    made = settings_in(tmp_path / "data", migrated_database, broker_url)
    return made.model_copy(update={"device": "cpu", "min_free_bytes": 0, **quick, **single})


@pytest.fixture
def host(settings: Settings) -> Iterator[str]:
    with run_server(settings) as (name, port):
        yield f"{name}:{port}"


def post(settings: Settings, train_count: int) -> str:
    """An experiment whose epochs take the longer, the more images there are."""
    sessions = open_sessions(settings)
    with sessions.begin() as session:
        stored_dataset(session, Artefacts(settings.artefact_root), train_count=train_count, image_size=16)
        id = queued_experiment(session, shades_spec(image_size=16, training={"epochs": EPOCHS})).id
    sessions.close()
    return id


def test_an_epoch_is_on_the_screen_within_a_second_and_a_half(
    chromium: Any, host: str, settings: Settings, tmp_path: Path
) -> None:
    id = post(settings, 3000)
    command = [sys.executable, "-m", "tests.browser.telling_worker"]
    for shown in open_page(chromium, tmp_path / "profile", host):
        shown.page.context.add_init_script(_SEEN)
        shown.visit(f"/ui/experiments/{id}")
        with subprocess.Popen(command, env=environment(settings), stdout=subprocess.PIPE, text=True) as worker:
            shown.page.wait_for_selector("#losses:visible .u-legend", timeout=60_000 * PATIENCE)
            assert "execution 0" in shown.page.inner_text("#loss-chart .u-legend")
            assert float(shown.page.inner_text("[data-running] [data-loss]")) > 0
            # Read before the end, when the page loads itself anew.
            seen: dict[str, float] = {}
            while len(seen) < EPOCHS - 4 and not shown.page.query_selector("#progress[data-ended=yes]"):
                seen |= shown.page.evaluate("window.seen ?? {}")
                shown.page.wait_for_timeout(100)
            ended = _moments(worker.communicate(timeout=120)[0])
        waits = [seen[str(epoch)] - at for epoch, at in ended.items() if str(epoch) in seen]
        assert len(waits) >= 10, "some come together with the next; most are seen by themselves"
        assert median(waits) <= 1.5, sorted(waits)
        shown.page.wait_for_selector("#progress[data-ended=yes]")
        shown.page.wait_for_selector("#losses:visible .u-legend")
        assert "n = 1" in shown.page.inner_text("#loss-chart .u-legend")
        shown.check()


def test_a_worker_that_is_killed_is_seen_within_its_lease(
    chromium: Any, host: str, settings: Settings, tmp_path: Path
) -> None:
    id = post(settings, 20_000)
    first = WorkerProcess(settings, tmp_path / "first.log")
    second: WorkerProcess | None = None
    try:
        for shown in open_page(chromium, tmp_path / "profile", host):
            shown.visit(f"/ui/experiments/{id}")
            shown.page.wait_for_selector("[data-running] [data-loss]:not(:text('–'))", timeout=60_000 * PATIENCE)
            assert "attempt" not in shown.page.inner_text("#progress")
            second = WorkerProcess(settings, tmp_path / "second.log")
            _wait_for_workers(shown, host, 2)
            first.kill()
            killed = time.monotonic()
            shown.page.wait_for_selector(
                "#progress:not(:has([data-running])), #progress :text('attempt 2')", timeout=60_000 * PATIENCE
            )
            took = time.monotonic() - killed
            # The lease, the reaper's next look, and the way to the screen.
            assert took <= settings.lease_seconds + settings.reaper_seconds + 4 * PATIENCE
            shown.check()
    finally:
        for worker in (first, second):
            if worker is not None:
                worker.kill()


def _moments(told: str) -> dict[int, float]:
    """When each epoch was over; a worker's log is between the lines."""
    return dict(json.loads(line) for line in told.splitlines() if line.startswith("["))


def _wait_for_workers(shown: Watched, host: str, count: int) -> None:
    while len(shown.page.request.get(f"http://{host}/workers").json()["items"]) < count:
        shown.page.wait_for_timeout(200)
