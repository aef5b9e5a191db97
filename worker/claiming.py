"""What a process takes on: executions of one cell, no more of them than it can train together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from noisegate.learning.memory import InsufficientMemory
from noisegate.spec import ClassifierExperiment, ExperimentSpec, parse_spec
from noisegate.store import claims, executions
from noisegate.store.leases import Lease
from noisegate.store.tables import Execution
from worker.devices import NoDevice, claim_capacity, place
from worker.recording import write
from worker.resources import Resources


@dataclass(frozen=True)
class Claimed:
    """Executions of one cell that this process holds, and where each stands in its training."""

    executions: Sequence[Execution]
    leases: Sequence[Lease]
    progress: dict[int, dict[str, object]]

    @property
    def spec(self) -> ExperimentSpec:
        return parse_spec(self.executions[0].cell.spec)

    @property
    def ids(self) -> list[str]:
        return [lease.id for lease in self.leases]

    @property
    def seeds(self) -> list[int]:
        return [execution.seed for execution in self.executions]


def claim_oldest(resources: Resources) -> Claimed | None:
    """Those that have waited longest, of one cell: as many as this process can train at once. None if nothing waits."""
    settings = resources.settings
    granted = None
    while granted is None:
        with resources.sessions.begin() as session:
            granted = claims.claim(
                session,
                owner=resources.owner,
                lease_seconds=settings.lease_seconds,
                capacity=claim_capacity(settings),
            )
    if not granted:
        return None
    with resources.sessions.reading() as session:
        rows = claims.rows_of(session, granted)
    return _what_fits(resources, Claimed([execution for execution, _ in rows], [lease for _, lease in rows], {}))


def _what_fits(resources: Resources, claimed: Claimed) -> Claimed:
    """Give back what this process could only train later: another one may have the room for it now."""
    fitting = _count_fitting(resources, claimed)
    for lease in claimed.leases[fitting:]:
        write(resources, lease, executions.release)
    if claimed.leases[fitting:]:
        resources.wakeups.train(claimed.ids[fitting], count=1)
    return Claimed(claimed.executions[:fitting], claimed.leases[:fitting], claimed.progress)


def _count_fitting(resources: Resources, claimed: Claimed) -> int:
    spec, count = claimed.spec, len(claimed.ids)
    if resources.settings.claim_capacity or count == 1:
        return count  # as was asked for
    dataset = claimed.executions[0].cell.experiment.dataset
    if not isinstance(spec, ClassifierExperiment) or dataset is None:
        return 1  # these take no GPU
    try:
        return place(resources.settings, spec, dataset, count).together.most
    except (InsufficientMemory, NoDevice, torch.AcceleratorError):
        return 1  # and trying it will say why not even one does
