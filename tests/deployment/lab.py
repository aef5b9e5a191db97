"""`python -m tests.deployment.lab --compose "docker compose"`: what docker-compose.yml promises, on a real engine.

From nothing to a classified image over HTTP with a key; killed containers; down and up again; one worker against two. Prints
a table and writes it with date, hardware and versions. It ends with `down --volumes`: give it a project of its own.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from noisegate.client.answers import Experiment
from noisegate.client.errors import ClientError
from noisegate.client.http import Client
from tests.faults.report import machine

DIGITS: dict[str, Any] = {
    "name": "digits with and without noise",
    "dataset": "digits",
    "executions": 2,
    "holdout": 0.1,
    "training": {"epochs": 4, "batch_size": 16, "first_layer_std": 0.1},
    "noise": {"family": "uniform"},
    "sweep": {"noise.quantity": [0, 1]},
}
# Long enough for three containers to be killed, one after the other, while it runs.
LONG: dict[str, Any] = {**DIGITS, "name": "killed", "executions": 6, "training": {**DIGITS["training"], "epochs": 8}}
TABLE_3: dict[str, Any] = {"preset": "table-3", "scale": "smoke"}


class Broken(Exception):
    """A promise was not kept; the message says which."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    step: str
    seconds: float
    outcome: str
    kept: bool


@dataclass
class Lab:
    """One compose project, and what was seen of it."""

    compose: list[str]
    url: str
    console: Console
    rows: list[Row]
    key: str = ""

    def step(self, name: str, action: Callable[[], str]) -> bool:
        """Carry out a step and note it; whether it kept its promise."""
        started = time.monotonic()
        try:
            outcome, kept = action(), True
        except (Broken, ClientError, subprocess.SubprocessError) as error:
            outcome, kept = f"{type(error).__name__}: {error}", False
        self.rows.append(Row(name, round(time.monotonic() - started, 1), outcome, kept))
        self.console.print(f"{name}: {self.rows[-1].seconds} s, {outcome}", markup=False)
        return kept

    def run(self, *arguments: str, environment: dict[str, str] | None = None, seconds: float = 600) -> str:
        """A compose command's standard output.

        Raises:
            Broken: it failed; the message holds the end of what it said.
        """
        process = subprocess.run(
            [*self.compose, *arguments],
            env={**os.environ, "COMPOSE_PROFILES": "cpu", "NOISEGATE_WORKER_PROCESSES": "1", **(environment or {})},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if process.returncode:
            raise Broken(f"compose {arguments[0]} ended with {process.returncode}: {process.stderr[-500:]}")
        return process.stdout

    def up(self, *arguments: str) -> None:
        """Bring everything up, and wait until it is healthy."""
        self.run("up", "--detach", "--wait", "--wait-timeout", "240", *arguments)

    def client(self) -> Client:
        return Client(self.url, api_key=self.key, patience_seconds=120)


def main() -> int:
    asked = _arguments()
    lab = Lab(shlex.split(asked.compose), asked.url, Console(width=160), [])
    try:
        good = _steps(lab, asked.skip_scaling)
    finally:
        lab.step("down, volumes too", lambda: lab.run("down", "--volumes", "--timeout", "30") or "nothing is left")
        _report(lab, asked.json)
    return 0 if good and all(row.kept for row in lab.rows) else 1


def _steps(lab: Lab, skip_scaling: bool) -> bool:
    # What these make, all others need.
    for name, action in (("up without a key", _refuses), ("make a key", _make_key), ("up", _up), ("digits", _digits)):
        if not lab.step(name, lambda action=action: action(lab)):  # type: ignore[misc]
            return False
    lab.step("no key, no answer", lambda: _closed(lab))
    lab.step("worker, broker and database killed by docker kill, then up", lambda: _killed(lab))
    lab.step("main process of the worker killed: the engine starts it again", lambda: _crashed(lab))
    lab.step("down, up", lambda: _down_up(lab))
    if not skip_scaling:
        lab.step("table-3 at scale smoke, one and two workers", lambda: _scaling(lab))
    return True


def _refuses(lab: Lab) -> str:
    lab.run("up", "--detach", "--wait", "database", "broker")
    lab.run("run", "--rm", "migrate")
    try:
        lab.run("run", "--rm", "--no-deps", "service", seconds=60)
    except Broken as error:
        if "78" in str(error):
            return "database, broker and schema come up; the service does not start, as it should"
        raise
    raise Broken("the service started for a network, without any key")


def _make_key(lab: Lab) -> str:
    made = lab.run(
        "run", "--rm", "migrate", "noisegate", "keys", "create", "--owner", "lab", "--scopes", "read,classify,train"
    )
    lab.key = made.strip().splitlines()[-1]
    return "printed once"


def _up(lab: Lab) -> str:
    lab.up()
    with lab.client() as client:
        _wait_for_workers(client, 1)
        missing = [name for name, found in client.readiness()["checks"].items() if found != "ok"]
    return f"all healthy; ready, missing {', '.join(missing) or 'nothing'}"


def _digits(lab: Lab) -> str:
    with lab.client() as client:
        client.wait_for_dataset("digits")
        ended = client.wait(client.create_experiment(DIGITS)["id"])
        _expect_success(ended)
        image, label = client.dataset_image("digits", "test", 0)
        decision = client.classify(image)
    if decision["label"] != label:
        raise Broken(f"a {label} was taken for a {decision['label']}")
    return f"4 executions succeeded; a {label} is recognised"


def _closed(lab: Lab) -> str:
    with Client(lab.url, api_key="") as client:
        try:
            client.workers()
        except ClientError as error:
            return f"refused: {str(error)[:60]}"
    raise Broken("GET /workers was answered without a key")


def _killed(lab: Lab) -> str:
    with lab.client() as client:
        id = client.create_experiment(LONG)["id"]
        seen: list[str] = []
        for container in ("worker", "broker", "database"):
            done = _wait_until_training(client, id)
            lab.run("kill", "--signal", "KILL", container)
            lab.up()
            seen.append(f"{container} at {done} of 12")
        ended = client.wait(id)
        _expect_success(ended)
        _expect_rows(client, id, 12)
    return f"killed {', '.join(seen)}; all 12 succeeded, each once"


def _crashed(lab: Lab) -> str:
    with lab.client() as client:
        before = {worker["name"] for worker in client.workers()}
        id = client.create_experiment(DIGITS)["id"]
        _wait_until_training(client, id)
        # The child of tini, which is process 1.
        lab.run("exec", "-T", "worker", "sh", "-c", "kill -KILL $(cat /proc/1/task/1/children)")
        started = time.monotonic()
        while not ({worker["name"] for worker in client.workers()} - before):
            if time.monotonic() - started > 120:
                raise Broken("no new worker within two minutes")
            time.sleep(0.5)
        back = time.monotonic() - started
        _expect_success(client.wait(id))
        _expect_rows(client, id, 4)
    return f"back after {back:.0f} s, all 4 succeeded"


def _down_up(lab: Lab) -> str:
    with lab.client() as client:
        before = _content(client)
    lab.run("down", "--timeout", "90")
    lab.up()
    with lab.client() as client:
        after = _content(client)
        image, _label = client.dataset_image("digits", "test", 0)
        client.classify(image)
    if before != after:
        raise Broken(f"before {before}, after {after}")
    return (
        f"the same {len(before[0])} experiments and {len(before[1])} models; the key still opens; a digit is classified"
    )


def _scaling(lab: Lab) -> str:
    seconds = {}
    for workers in (1, 2):
        lab.up("--scale", f"worker={workers}")
        with lab.client() as client:
            _wait_for_workers(client, workers)
            started = time.monotonic()
            _expect_success(client.wait(client.create_experiment(TABLE_3)["id"]))
            seconds[workers] = time.monotonic() - started
    return f"{seconds[1]:.0f} s and {seconds[2]:.0f} s: {seconds[1] / seconds[2]:.2f} × by the second worker, n = 1"


def _wait_for_workers(client: Client, count: int) -> None:
    deadline = time.monotonic() + 120
    while sum(worker["alive"] for worker in client.workers()) < count:
        if time.monotonic() > deadline:
            raise Broken(f"not {count} workers within two minutes")
        time.sleep(0.5)


def _wait_until_training(client: Client, id: str) -> int:
    """How many executions have succeeded, once one is running."""
    deadline = time.monotonic() + 120
    while not any(one["state"] == "running" for one in client.executions(id)):
        if time.monotonic() > deadline:
            raise Broken("nothing runs after two minutes")
        time.sleep(0.3)
    return sum(one["state"] == "succeeded" for one in client.executions(id))


def _content(client: Client) -> tuple[list[tuple[str, str]], list[str]]:
    experiments = sorted((one["id"], str(one["state"])) for one in client.experiments())
    return experiments, sorted(model["id"] for model in client.models())


def _expect_success(experiment: Experiment) -> None:
    if experiment["state"] != "succeeded":
        raise Broken(f"experiment {experiment['id']} ended as {experiment['state']}")


def _expect_rows(client: Client, id: str, count: int) -> None:
    states = [one["state"] for one in client.executions(id)]
    if states != ["succeeded"] * count:
        raise Broken(f"{count} executions that succeeded were expected: {states}")


def _report(lab: Lab, path: Path | None) -> None:
    table = Table("step", "seconds", "kept", "outcome")
    for row in lab.rows:
        table.add_row(row.step, f"{row.seconds:.1f}", "yes" if row.kept else "NO", row.outcome)
    lab.console.print(table)
    if path:
        document = {"machine": machine(), "rows": [asdict(row) for row in lab.rows]}
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compose", default="docker compose", help="the command, with its options, in its folder")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where NOISEGATE_PUBLISH puts the service")
    parser.add_argument("--skip-scaling", action="store_true")
    parser.add_argument("--json", type=Path, help="where to write the table, with date, hardware and versions")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
