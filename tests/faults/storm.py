"""A storm of claims: two processes of four threads each go for the same rows."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

import sqlalchemy as sa

from noisegate.store.states import State
from noisegate.store.tables import Execution
from tests.faults.base import Form, Injected
from tests.faults.processes import REPOSITORY
from tests.faults.storm_process import Tally
from tests.faults.system import System

_PROCESSES = 2
# As many as keep eight threads busy and are done soon after the last was posted.
_WAITING = 60


def claim_storm(system: System, random: Random, form: Form) -> Injected:
    """No execution is granted twice for the same attempt, and each ends exactly once. No worker runs meanwhile."""
    system.no_workers()
    stop = system.folder / f"stop-{random.getrandbits(32)}"
    commands = [
        [sys.executable, "-m", "tests.faults.storm_process", f"storm-{number}", str(stop), str(random.getrandbits(32))]
        for number in range(_PROCESSES)
    ]
    processes = [
        subprocess.Popen(command, env=system.environment, cwd=REPOSITORY, stdout=subprocess.PIPE)
        for command in commands
    ]
    found = Injected()
    deadline = time.monotonic() + form.storm_seconds
    while time.monotonic() < deadline or not found.experiments:
        if _waiting(system) < _WAITING:
            # Spelled differently from what workers run: these results are made up.
            found.experiments.append(system.post(form.small(executions=50).model_copy(update={"seed": 1}), wake=False))
        time.sleep(0.05)
    stop.touch()
    tallies = [_tally(process, found) for process in processes]
    found.broken += _contradictions(tallies)
    return found


def _tally(process: "subprocess.Popen[bytes]", found: Injected) -> Tally:
    said, _ = process.communicate(timeout=600)
    if process.returncode != 0:
        found.broken.append(f"a process of the storm ended with {process.returncode}")
        return Tally()
    return Tally(**json.loads(said))


def _contradictions(tallies: list[Tally]) -> Iterator[str]:
    granted = Counter((id, attempt) for tally in tallies for id, attempt in tally.granted)
    yield from (f"{id} was granted twice as attempt {attempt}" for (id, attempt), n in granted.items() if n > 1)
    accepted = Counter(id for tally in tallies for id, _ in tally.accepted)
    yield from (f"{id} was accepted {n} times" for id, n in accepted.items() if n > 1)


def _waiting(system: System) -> int:
    with system.sessions.reading() as session:
        query = sa.select(sa.func.count()).where(Execution.state == State.QUEUED)
        return session.scalar(query) or 0
