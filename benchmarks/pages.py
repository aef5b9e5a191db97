"""How long the service takes for each page, on SQLite and PostgreSQL, with an experiment of 10,000 executions in 200 cells.

    python benchmarks/pages.py [--executions 10000] [--times 15] [--busy]

The service's own application answers in this process, past a test client, which takes some two milliseconds of each. Milliseconds
of the clock and of this process's cores (the database's are not among these) are medians; `most` is the slowest, the first among
them; `anew` is asked for just after an execution has ended. Exits with 1 unless every median is below 50 ms, and of the large
experiment below 300 ms. --busy notes in the result that others shared the cores.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlalchemy as sa
from databases import database
from page_parts.content import Content, end, make_content, run_again
from record import keep
from starlette.testclient import TestClient

from noisegate.store.sessions import Sessions
from noisegate.store.tables import Experiment
from service.app import create_app

TARGET, TARGET_OF_LARGE = 50.0, 300.0
HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@dataclass(frozen=True)
class Taken:
    """What one path takes: milliseconds, statements and bytes."""

    wall: float
    processor: float
    most: float
    statements: int
    kilobytes: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    asked = parser.parse_args()
    figures: dict[str, dict[str, Taken]] = {}
    for kind in asked.databases:
        with tempfile.TemporaryDirectory(prefix="noisegate-pages-") as name:
            folder = Path(name)
            with database(kind, folder) as url:
                content = make_content(url, folder / "data", asked.executions)
                figures[kind] = dict(_measure(content, asked.times))
        _print(kind, figures[kind])
    kept = {kind: {path: asdict(taken) for path, taken in found.items()} for kind, found in figures.items()}
    about = {"executions": asked.executions, "n": asked.times, "cores_shared": asked.busy}
    print(f"Kept in {keep('pages', about | kept)}")
    slow = [f"{kind} {path}" for kind, found in figures.items() for path, one in found.items() if _is_slow(path, one)]
    print(f"Missed: {', '.join(slow)}" if slow else "All below their targets.")
    return 1 if slow else 0


def _paths(content: Content) -> dict[str, str]:
    """Name and path of every page. Those that begin with `large` show the large experiment, or its dataset."""
    small, large = f"/ui/experiments/{content.trained}", f"/ui/experiments/{content.large}"
    cell = f"{large}/cells/0/executions/0"
    return {
        "home": "/ui",
        "home, what changes": "/ui/now",
        "experiments": "/ui/experiments",
        "new experiment": "/ui/experiments/new",
        "experiment": small,
        "its progress": f"{small}/progress",
        "its results": f"{small}/results",
        "its figures": f"{small}/figures",
        "cell": f"{small}/cells/0",
        "execution": f"{small}/cells/0/executions/0",
        "datasets": "/ui/datasets",
        "dataset": "/ui/datasets/digits",
        "models": "/ui/models",
        "model": f"/ui/models/{content.model}",
        "classify": "/ui/classify",
        "compare": f"/ui/compare?experiment={content.trained}",
        "admin": "/ui/admin",
        "large experiment": large,
        "large: its progress": f"{large}/progress",
        "large: its results": f"{large}/results",
        "large: its figures": f"{large}/figures",
        "large: its losses (JSON)": f"/results/{content.large}/losses",
        "large: cell": f"{large}/cells/0",
        "large: compared": f"/ui/compare?experiment={content.large}&group=noise.quantity",
        "large: 60,000 test images": cell,
        "large: a cell of the matrix": f"{cell}?label=class+1&given=class+2",
        "large: dataset": f"/ui/datasets/{content.dataset}",
        "large: a thumbnail": f"/datasets/{content.dataset}/images/test/30000/thumbnail.jpg",
    }


def _measure(content: Content, times: int) -> Iterator[tuple[str, Taken]]:
    with TestClient(create_app(content.settings), "http://127.0.0.1") as client:
        sessions: Sessions = client.app_state["resources"].sessions
        statements = _counted(sessions)
        client.get("/ui/sign-in", headers=HTML)  # the templates' engine
        gc.collect()
        gc.freeze()  # as service.process does
        for name, path in _paths(content).items():
            yield name, _take(client, path, times, statements, lambda: None)
        run_again(sessions, content.large)
        large = f"/ui/experiments/{content.large}"
        for name, path in {"page": large, "progress": f"{large}/progress", "results": f"{large}/results"}.items():
            yield (
                f"large, running: {name}, anew",
                _take(client, path, times, statements, lambda: _tell(sessions, content.large)),
            )
        end(sessions, content.large)


def _tell(sessions: Sessions, id: str) -> None:
    """As the end of an execution does: nothing that was kept of the experiment holds any more."""
    with sessions.begin() as session:
        changed = {"last_event": Experiment.last_event + 1}
        session.execute(sa.update(Experiment).where(Experiment.id == id).values(**changed))


def _counted(sessions: Sessions) -> list[str]:
    found: list[str] = []
    sa.event.listen(sessions.engine, "before_cursor_execute", lambda *told: found.append(told[2]))
    return found


def _take(client: TestClient, path: str, times: int, statements: list[str], before: Callable[[], None]) -> Taken:
    walls, cores, counts = [], [], []
    for _ in range(times):
        before()
        statements.clear()
        wall, core = time.perf_counter(), time.process_time()
        answer = client.get(path, headers=HTML)
        walls.append(1000 * (time.perf_counter() - wall))
        cores.append(1000 * (time.process_time() - core))
        counts.append(len(statements))
        assert answer.status_code == 200, (path, answer.text[:300])
    return Taken(
        round(statistics.median(walls), 1),
        round(statistics.median(cores), 1),
        round(max(walls), 1),
        min(counts),  # what else the service does meanwhile is counted, too
        round(len(answer.content) / 1000, 1),
    )


def _is_slow(name: str, taken: Taken) -> bool:
    return taken.wall >= (TARGET_OF_LARGE if name.startswith("large") else TARGET)


def _print(kind: str, found: dict[str, Taken]) -> None:
    print(f"{kind:38} {'wall ms':>8} {'core ms':>8} {'most ms':>8} {'SQL':>4} {'kB':>7}")
    for name, one in found.items():
        print(f"{name:38} {one.wall:8} {one.processor:8} {one.most:8} {one.statements:4} {one.kilobytes:7}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
