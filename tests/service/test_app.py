import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2

from noisegate.store import experiments
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.conftest import PATIENCE, wait_until
from tests.service.conftest import run_server
from tests.service.factories import png_bytes, ready_dataset, served_model

SPEC = {"dataset": "pets", "executions": 3}


def test_importing_the_application_loads_no_torch_and_connects_nowhere() -> None:
    script = (
        "import socket, sqlite3, sys\n"
        "def refuse(*arguments): raise AssertionError('connected')\n"
        "socket.socket.connect = refuse\n"
        "sqlite3.connect = sqlite3.dbapi2.connect = refuse\n"
        "import service.app\n"
        "service.app.create_app()\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'torchvision', 'sklearn'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_a_broker_an_experiment_is_accepted_at_once(
    settings: Settings, sessions: Sessions, artefacts: Artefacts
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    away = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    with run_server(away) as (host, port), httpx2.Client(base_url=f"http://{host}:{port}") as client:
        began = time.monotonic()
        answer = client.post("/experiments", json=SPEC)
        assert answer.status_code == 202
        assert time.monotonic() - began < 5 * PATIENCE
    with sessions.reading() as session:
        assert experiments.get(session, answer.json()["id"]).state == "queued"


def test_many_requests_at_once_over_a_socket(settings: Settings, sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    model = served_model(sessions, artefacts)
    with run_server(settings) as (host, port), httpx2.Client(base_url=f"http://{host}:{port}") as client:

        def classify(_number: int) -> str:
            answer = client.post("/classify", content=png_bytes(), headers={"Content-Type": "image/png"})
            return str(answer.json()["model"]["id"])

        def post(_number: int) -> int:
            return client.post("/experiments", json=SPEC).status_code

        with ThreadPoolExecutor(8) as pool:
            posted = pool.map(post, range(16))
            assert set(pool.map(classify, range(64))) == {model}
            assert set(posted) == {202}
        over = client.post("/experiments", content=b" " * 10**7, headers={"Content-Type": "application/json"})
        assert (over.status_code, over.json()["code"]) == (413, "too-large")
        wait_until(lambda: client.get("/readyz").status_code == 200, seconds=5, what="the service is ready")
