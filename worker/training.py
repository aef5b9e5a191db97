"""One claim from rows to rows: claim, run what its kind asks for, record. No transaction is open meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
import torch
from billiard.process import current_process
from sqlalchemy.orm import Session

from noisegate.errors import StorageFull
from noisegate.learning.training import Progress
from noisegate.spec import ClassifierExperiment, ExperimentSpec, parse_spec
from noisegate.store import claims, executions
from noisegate.store.leases import Lease
from noisegate.store.settings import Settings
from noisegate.store.tables import Execution
from worker.checkpoints import Checkpoints
from worker.classifiers import Finish, Hooks, train_classifiers
from worker.kinds import analyse
from worker.lease import DATABASE_AWAY, Cancelled, Draining, Heartbeat, Stop, draining
from worker.problems import problem_of
from worker.recording import fail, record, write
from worker.resources import Resources

log = structlog.get_logger(__name__)

# More than a worker has processes; a message too many finds nothing to claim.
_WAKEUPS = 64


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


class NoDevice(Exception):
    """A GPU is asked for and this process finds none."""


# Trouble of this machine rather than of the work: another worker may not have it.
_ENVIRONMENT = (OSError, StorageFull, MemoryError, NoDevice, torch.AcceleratorError)


def train_oldest(resources: Resources) -> None:
    """Claim the executions that have waited longest, run them, and record what came of each."""
    claimed = None if draining.is_set() else _claim(resources)
    if claimed is None:
        return  # whatever waits stays for another worker, whose reaper will find it
    log.info("claimed", executions=claimed.ids, attempt=claimed.leases[0].attempt)
    try:
        _run(resources, claimed)
    except Stop as stop:
        _stop(resources, claimed, stop)
    except DATABASE_AWAY:
        log.exception("left_to_the_reaper", executions=claimed.ids)
    except Exception as error:
        for lease in claimed.leases:
            _give_up(resources, lease, error)
    _wake_others(resources, claimed)


def _claim(resources: Resources) -> Claimed | None:
    settings = resources.settings
    granted = None
    while granted is None:
        with resources.sessions.begin() as session:
            granted = claims.claim(
                session,
                owner=resources.owner,
                lease_seconds=settings.lease_seconds,
                capacity=settings.claim_capacity,
            )
    if not granted:
        return None
    with resources.sessions.reading() as session:
        rows = claims.rows_of(session, granted)
    return Claimed([execution for execution, _ in rows], [lease for _, lease in rows], {})


def _wake_others(resources: Resources, claimed: Claimed) -> None:
    """One message in, one message out: as many stay under way as were sent at first.

    Those that came while everything waited for a base found nothing, and are gone: after a base all are sent anew.
    """
    with resources.sessions.reading() as session:
        base = any(executions.is_base(session, id) for id in claimed.ids)
        waiting = executions.count_waiting(session, most=_WAKEUPS if base else 1)
    if waiting:
        resources.wakeups.train(claimed.ids[0], count=waiting)


def _stop(resources: Resources, claimed: Claimed, stop: Stop) -> None:
    """The work was asked to end: the rows are given back or cancelled; a lost one is somebody else's."""
    log.info("stopped", executions=claimed.ids, reason=type(stop).__name__)
    changes = {Draining: executions.release, Cancelled: executions.record_cancelled}
    for lease in claimed.leases:
        if (change := changes.get(type(stop))) is not None:
            write(resources, lease, change)


def _run(resources: Resources, claimed: Claimed) -> None:
    settings = resources.settings
    torch.set_num_threads(1)

    def renew(session: Session, lease: Lease) -> bool:
        known = claimed.progress.get(claimed.seeds[claimed.leases.index(lease)], {})
        return executions.renew(session, lease, settings.lease_seconds, **known)

    with Heartbeat(resources.sessions, claimed.leases, renew, seconds=settings.heartbeat_seconds) as heartbeat:
        heartbeat.check()
        finishes = _finishes(resources, claimed, heartbeat.check)
        for execution, lease, finish in zip(claimed.executions, claimed.leases, finishes, strict=True):
            _end(resources, heartbeat, execution, lease, finish)


def _finishes(resources: Resources, claimed: Claimed, check: Callable[[], None]) -> Iterator[Finish]:
    spec = claimed.spec
    if not isinstance(spec, ClassifierExperiment):
        yield from (partial(analyse, execution, spec, check) for execution in claimed.executions)
        return

    def note(progress: Progress) -> None:
        claimed.progress[progress.seed] = {
            "epochs_done": progress.epoch,
            "images_per_second": progress.images_per_second,
        }

    hooks = Hooks(check, note, Checkpoints(resources, claimed.executions, claimed.leases))
    yield from train_classifiers(resources, claimed.executions, spec, hooks, device=choose_device(resources.settings))


def _end(resources: Resources, heartbeat: Heartbeat, execution: Execution, lease: Lease, finish: Finish) -> None:
    """Bring one execution to its end; what goes wrong with it is no concern of those that were trained beside it."""
    try:
        found = finish()
        heartbeat.persist(partial(record, resources, execution, lease, found))
        heartbeat.let_go(lease)
    except (Stop, *DATABASE_AWAY):
        raise
    except Exception as error:
        _give_up(resources, lease, error)


def _give_up(resources: Resources, lease: Lease, error: Exception) -> None:
    """Trouble of this machine: note it and let the lease run out, so that another may try. Any other: it would come again."""
    log.error("execution_failed", execution=lease.id, exc_info=error)
    if isinstance(error, _ENVIRONMENT):
        write(resources, lease, partial(executions.note_trouble, error=problem_of(error, resources.owner)))
    else:
        fail(resources, lease, problem_of(error, resources.owner))


def choose_device(settings: Settings) -> str:
    """ "cpu", or the GPU that belongs to this process of the pool.

    Raises:
        NoDevice: a GPU is asked for and there is none.
    """
    if settings.device == "cpu" or (settings.device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise NoDevice("NOISEGATE_DEVICE is cuda, but PyTorch finds no CUDA device")
    number = getattr(current_process(), "index", 0)
    return f"cuda:{number % torch.cuda.device_count()}"
