"""What a process takes on: executions of one cell, no more of them than it can train together."""

from dataclasses import dataclass, field

from noisegate.spec import ExperimentSpec
from noisegate.store import claims
from noisegate.store.leases import Lease
from noisegate.store.settings import Settings
from noisegate.store.tables import Execution
from worker.devices import claim_capacity
from worker.kinds import RUNNERS
from worker.resources import Resources


@dataclass
class Claimed:
    """Executions of one cell that this process holds, and where each stands in its training (by its id)."""

    rows: list[tuple[Execution, Lease]]
    progress: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def spec(self) -> ExperimentSpec:
        return self.rows[0][0].cell.spec

    @property
    def executions(self) -> list[Execution]:
        return [execution for execution, _ in self.rows]

    @property
    def leases(self) -> list[Lease]:
        return [lease for _, lease in self.rows]

    @property
    def ids(self) -> list[str]:
        return [lease.id for lease in self.leases]


def claim_oldest(resources: Resources) -> Claimed | None:
    """What has waited longest: one execution, or as many of its cell as the settings say. None if nothing waits."""
    settings = resources.settings
    granted = None
    while granted is None:
        with resources.sessions.begin() as session:
            granted = claims.claim(
                session,
                owner=resources.owner,
                lease_seconds=settings.lease_seconds,
                capacity=settings.claim_capacity or 1,
            )
    if not granted:
        return None
    with resources.sessions.reading() as session:
        return Claimed(claims.rows_of(session, granted))


def claim_more(resources: Resources, claimed: Claimed) -> None:
    """Claim as many more of the cell as this process can run along with the one that it holds, or should run after it.

    In a second step, because how many that are depends on the cell, and to estimate it may take seconds.
    """
    settings = resources.settings
    if settings.claim_capacity:
        return  # as many as the settings say are held
    most = max(_together(settings, claimed), claimed.spec.recipe.runs_a_claim if claimed.spec.recipe else 1)
    if most == 1:
        return
    (held,) = claimed.leases
    with resources.sessions.begin() as session:
        granted = claims.claim_beside(session, held, lease_seconds=settings.lease_seconds, most=most - 1)
    with resources.sessions.reading() as session:
        # In one step: the heartbeat's thread reads it.
        claimed.rows = claims.rows_of(session, [held, *granted], claimed.executions[0].cell)


def _together(settings: Settings, claimed: Claimed) -> int:
    """How many executions of the cell this process can run at once."""
    capacity, spec = claim_capacity(settings), claimed.spec
    if capacity == 1:
        return 1
    return RUNNERS[spec.kind].at_once(settings, spec, claimed.executions[0].cell.experiment.dataset, capacity)
