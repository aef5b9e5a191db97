"""The code that pages show to be copied runs as it stands."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import Wakeups
from service.pages import code
from tests.conftest import wait_until
from tests.factories import shades_spec, stored_dataset
from tests.service.conftest import run_server
from tests.service.factories import ready_dataset, served_model
from worker.resources import Resources
from worker.training import train_oldest

SECONDS = 60
SPEC = shades_spec(training={"epochs": 1}, executions=1).model_dump(mode="json")


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    with run_server(settings) as (host, port):
        yield f"http://{host}:{port}"


def ended(command: list[str] | str, folder: Path) -> str:
    """What a command prints that ends well."""
    found = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, shell=isinstance(command, str)
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_a_model_is_asked_by_python_and_by_curl(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, address: str, tmp_path: Path
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    model = served_model(sessions, artefacts)
    Image.new("RGB", (20, 20), (100, 90, 80)).save(tmp_path / "image.jpg")
    by_python = ended([sys.executable, "-c", code.model_as_python(address, model)], tmp_path)
    assert shutil.which("curl"), "the page shows a command for it"
    by_curl = json.loads(ended(code.model_as_curl(address, model, keys=False), tmp_path))
    assert by_python.split() == [str(by_curl[name]) for name in ("label", "rejected", "reason")]


def test_an_experiment_is_posted_by_python_and_by_curl(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, wakeups: Wakeups, address: str, tmp_path: Path
) -> None:
    with sessions.begin() as session:
        stored_dataset(session, artefacts)
    by_curl = json.loads(ended(code.experiment_as_curl(address, SPEC, keys=False), tmp_path))
    assert by_curl["state"] == "queued"
    script = [sys.executable, "-c", code.experiment_as_python(address, SPEC)]
    with subprocess.Popen(script, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as waiting:
        resources = Resources(settings, sessions, artefacts, wakeups, worker="test")

        def has_ended() -> bool:
            train_oldest(resources)
            return waiting.poll() is not None

        wait_until(has_ended, seconds=SECONDS, what="it has trained, and been printed")
        printed = waiting.stdout.read() if waiting.stdout else ""
    assert waiting.returncode == 0
    (row,) = csv.DictReader(io.StringIO(printed))
    assert row["n"] == "1"
