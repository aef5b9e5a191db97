"""One fault on one system, and what is true afterwards."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from tests.faults.base import Fault, Form, Injected
from tests.faults.invariants import References, check
from tests.faults.system import System

DETECTION_SECONDS = 30
RECOVERY_SECONDS = 60


@dataclass
class Record:
    """What came of one fault on one database; `skipped` says what this machine lacks for it."""

    fault: str
    database: str
    times: int = 0
    lost: int = 0
    doubled: int = 0
    detection_seconds: float | None = None
    recovery_seconds: float | None = None
    broken: list[str] = field(default_factory=list)
    skipped: str | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is lost or doubled, and all else is as it should be."""
        return not (self.lost or self.doubled or self.broken)

    @property
    def holds(self) -> bool:
        """Whether it is sound, and every bound is kept."""
        in_time = (self.detection_seconds or 0) <= DETECTION_SECONDS and (
            self.recovery_seconds or 0
        ) <= RECOVERY_SECONDS
        return in_time and self.sound

    @property
    def verdict(self) -> str:
        if self.skipped:
            return f"skipped: {self.skipped}"
        return "holds" if self.holds else "BROKEN"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict}

    def _enter(self, injected: Injected) -> None:
        self.times += 1
        self.broken += injected.broken
        self.detection_seconds = _worst(self.detection_seconds, injected.detection)
        self.recovery_seconds = _worst(self.recovery_seconds, injected.recovery)


def run(
    system: System,
    fault: Fault,
    form: Form,
    random: Random,
    references: References,
    *,
    times: int,
    note: Callable[[str], None] = lambda _: None,
) -> Record:
    """Inject the fault `times` times; after each, wait for the end of everything and look at what is left."""
    record = Record(fault.name, system.database)
    if (lacking := fault.missing(system)) is not None:
        record.skipped = lacking
        return record
    for _ in range(times):
        system.have_workers(fault.workers)
        for spec in fault.specs(form):
            references.learn(system, spec)
        try:
            injected = fault.inject(system, random, form)
            system.wait_for_the_end(injected.experiments)
        except TimeoutError as error:
            record.times += 1
            record.broken.append(f"{error}\n{system.ends_of_logs()}")
            return record
        record._enter(injected)
        findings = check(system, injected.experiments, references)
        record.lost += findings.lost
        record.doubled += findings.doubled
        record.broken += findings.broken
        note(f"{system.database} {fault.name} {record.times}: {injected.detection} {injected.recovery} {findings}")
    return record


def _worst(known: float | None, new: float | None) -> float | None:
    return max((seconds for seconds in (known, new) if seconds is not None), default=None)
