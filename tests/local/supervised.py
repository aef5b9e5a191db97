"""Runs a Supervisor as a process of its own, for tests that signal and kill it.

Arguments: a folder (its file `diary` takes the children's lines, its file `lock` is held), how long to wait
(`forever`, or `never-ready` for a condition at start that does not come true), and NAME or NAME:stubborn for each child.
"""

import fcntl
import os
import sys
from pathlib import Path

from noisegate.client.errors import Interrupted
from noisegate.local.supervisor import Program, Supervisor

CHILD = Path(__file__).with_name("child.py")


def main(folder: Path, manner: str, *names: str) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with Supervisor(folder / "logs", folder, dict(os.environ), held=[lock]) as supervisor:
            sys.stdout.write(f"{supervisor._watchdog.pid}\n")
            sys.stdout.flush()
            for name in names:
                supervisor.start(program(folder, *name.split(":")))
            if manner == "never-ready":
                supervisor.wait_until(lambda: False, what="It was not ready", limit_seconds=60)
            supervisor.run_until_interrupted()
    except Interrupted as interrupted:
        return interrupted.exit_code


def program(folder: Path, name: str, *manner: str) -> Program:
    command = [sys.executable, "-I", "-S", str(CHILD), str(folder / "diary"), name, *manner]
    return Program(name, command, grace_seconds=60)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
