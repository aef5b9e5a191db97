"""`python -m tests.faults.storm_process NAME STOP_FILE SEED`: claims and ends executions from four threads at once.

Some claims are let go, and their results entered too late, when the reaper has taken them away. Prints as JSON what it was
granted, what was accepted of it and how often it was refused, once the file exists and nothing is left to do.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import sqlalchemy as sa

from noisegate.store import claims, executions, expiry
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import load_settings
from noisegate.store.states import State
from noisegate.store.tables import Execution
from tests import factories

THREADS = 4
LEASE_SECONDS = 1.0
_LET_GO = 0.03


@dataclass
class Tally:
    """(execution, attempt) of every claim granted and of every result accepted, and how many were refused."""

    granted: list[tuple[str, int]] = field(default_factory=list)
    accepted: list[tuple[str, int]] = field(default_factory=list)
    refused: int = 0


def main() -> None:
    name, stop, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    sessions = open_sessions(load_settings())
    tally = Tally()
    ended = threading.Event()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        reaper = pool.submit(_reap, sessions, ended)
        claimers = [
            pool.submit(_claim, sessions, f"{name}/{number}", stop, Random(seed + number), tally)
            for number in range(THREADS)
        ]
        for claimer in claimers:
            claimer.result()
        ended.set()
        reaper.result()
    sessions.close()
    print(json.dumps(asdict(tally)))  # noqa: T201 - this is what the program is for


def _reap(sessions: Sessions, ended: threading.Event) -> None:
    while not ended.wait(0.2):
        with sessions.begin() as session:
            expiry.reap(session, lease_seconds=LEASE_SECONDS, max_losses=1000, error=factories.failure())


def _claim(sessions: Sessions, owner: str, stop: Path, random: Random, tally: Tally) -> None:
    while True:
        with sessions.begin() as session:
            capacity = random.randint(1, 3)
            claimed = claims.claim(session, owner=owner, lease_seconds=LEASE_SECONDS, capacity=capacity)
        if claimed == [] and stop.exists() and _nothing_left(sessions):
            return
        if not claimed:
            time.sleep(0.01)
        for lease in claimed or []:
            tally.granted.append((lease.id, lease.attempt))
            if random.random() < _LET_GO:
                time.sleep(2 * LEASE_SECONDS)
            _end(sessions, lease, tally)


def _end(sessions: Sessions, lease: Lease, tally: Tally) -> None:
    try:
        with sessions.begin() as session:
            executions.record_success(session, lease, factories.outcome())
    except LeaseLost:
        tally.refused += 1
    else:
        tally.accepted.append((lease.id, lease.attempt))


def _nothing_left(sessions: Sessions) -> bool:
    with sessions.reading() as session:
        query = sa.select(sa.func.count()).where(Execution.state.in_([State.QUEUED, State.RUNNING]))
        return session.scalar(query) == 0


if __name__ == "__main__":
    main()
