"""How fast executions are claimed, and how fast an experiment of 10,000 of them is listed, on PostgreSQL and SQLite.

    python benchmarks/claim_rates.py [--seconds 10] [--executions 10000]

Two processes of four threads each claim one execution at a time, as workers do, from one experiment of that many; then the
service's own application answers for it. Servers come from wheels. Exits with 1 if a target is missed: 500 claims a second
on PostgreSQL, 200 on SQLite, every listing under 100 ms.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from databases import database
from record import keep
from starlette.testclient import TestClient

from migrations.run import upgrade
from noisegate.spec import parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import claims, planning
from noisegate.store.sessions import Sessions, create_engine
from noisegate.store.settings import Settings
from service.app import create_app

TARGETS = {"postgresql": 500, "sqlite": 200}
TARGET_MILLISECONDS = 100
PROCESSES, THREADS = 2, 4
REQUESTS = 20
CELLS = 100


@dataclass(frozen=True)
class Figures:
    """Of one database: all threads together, and the median of each listing."""

    claims_per_second: int
    milliseconds: dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--executions", type=int, default=10_000)
    arguments = parser.parse_args()
    figures: dict[str, Figures] = {}
    for kind in TARGETS:
        with tempfile.TemporaryDirectory(prefix="noisegate-claims-") as folder, database(kind, Path(folder)) as url:
            figures[kind] = _measure(url, Path(folder), arguments.seconds, arguments.executions)
            print(kind, figures[kind])
    kept = {kind: vars(found) for kind, found in figures.items()}
    print(f"Kept in {keep('claim_rates', {'executions': arguments.executions, **kept})}")
    fast = all(figures[kind].claims_per_second >= target for kind, target in TARGETS.items())
    quick = all(ms < TARGET_MILLISECONDS for found in figures.values() for ms in found.milliseconds.values())
    return 0 if fast and quick else 1


def _measure(url: str, folder: Path, seconds: float, count: int) -> Figures:
    upgrade(url)
    id = _post(url, count)
    listed = _list(url, folder, id)
    claims = _claim(url, seconds, capacity=1)
    return Figures(round(claims), listed)


def _post(url: str, count: int) -> str:
    """An experiment of `count` executions over a hundred cells."""
    spec = parse_spec(
        {
            "kind": "decision_map",
            "executions": count // CELLS,
            "sweep": {"noise_quantity": [number / 10 for number in range(CELLS)]},
        }
    )
    sessions = Sessions(create_engine(url))
    with sessions.begin() as session:
        id = planning.create(session, planning.plan(session, spec, Caps())).id
    sessions.close()
    return id


def _list(url: str, folder: Path, id: str) -> dict[str, float]:
    """Median milliseconds of an answer, by path."""
    settings = Settings(database_url=url, data_dir=folder / "data", broker_url="memory://")
    paths = [f"/experiments/{id}", "/experiments", f"/experiments/{id}/executions?limit=100"]
    with TestClient(create_app(settings), "http://127.0.0.1") as client:
        return {path.replace(id, "{id}"): _median(client, path) for path in paths}


def _median(client: TestClient, path: str) -> float:
    taken = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        assert client.get(path).status_code == 200
        taken.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(taken), 1)


def _claim(url: str, seconds: float, capacity: int) -> float:
    """Claims a second of all threads of all processes together."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    found: SimpleQueue[float] = context.SimpleQueue()
    workers = [
        context.Process(target=_claim_in_threads, args=(url, seconds, capacity, f"w{number}", barrier, found))
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    rate: float = sum(found.get() for _ in workers)
    for worker in workers:
        worker.join()
    return rate


def _claim_in_threads(
    url: str, seconds: float, capacity: int, name: str, barrier: Barrier, found: "SimpleQueue[float]"
) -> None:
    sessions = Sessions(create_engine(url))
    counts = [0] * THREADS
    barrier.wait()
    started = time.perf_counter()

    def claim(number: int) -> None:
        while time.perf_counter() - started < seconds:
            with sessions.begin() as session:
                granted = claims.claim(session, owner=f"{name}/{number}", lease_seconds=60, capacity=capacity)
            if granted == []:
                return
            counts[number] += len(granted or [])

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put(sum(counts) / (time.perf_counter() - started))
    sessions.close()


if __name__ == "__main__":
    sys.exit(main())
