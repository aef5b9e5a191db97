"""One compose project on a real engine, and what was seen of it: steps, how long they took, whether they kept their word."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from noisegate.client import Noisegate
from noisegate.client.errors import ClientError

PROJECT = "noisegate-lab"


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
    """One compose project, and what was seen of it.

    Attributes:
        compose: the command, as its words.
        version: tag of the images.
        url: where the service is published.
    """

    compose: list[str]
    version: str
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

    def run(self, *arguments: str, seconds: float = 600) -> str:
        """A compose command's standard output.

        Raises:
            Broken: it failed; the message holds the end of what it said.
        """
        return self.read(*arguments, seconds=seconds).decode()

    def read(self, *arguments: str, seconds: float = 600) -> bytes:
        """As `run`, for what is no text."""
        process = subprocess.run(
            [*self.compose, *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        if process.returncode:
            raise Broken(f"compose {arguments[0]} ended with {process.returncode}: {process.stderr.decode()[-500:]}")
        return process.stdout

    @property
    def environment(self) -> dict[str, str]:
        """A project of its own, so that nothing real is taken down; one training process a worker."""
        return {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_PROFILES": "cpu",
            "NOISEGATE_WORKER_PROCESSES": "1",
            "NOISEGATE_VERSION": self.version,
        }

    def up(self, *arguments: str) -> None:
        """Bring everything up, and wait until it is healthy."""
        self.run("up", "--detach", "--wait", "--wait-timeout", "240", *arguments)

    def client(self) -> Noisegate:
        return Noisegate(self.url, api_key=self.key, patience_seconds=120)
