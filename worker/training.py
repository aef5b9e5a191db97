"""One claim from rows to rows: claim, run what its kind asks for, record. No transaction is open meanwhile."""

import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NoReturn

import structlog
import torch
from opentelemetry.util.types import AttributeValue
from sqlalchemy.orm import Session

from noisegate import tracing
from noisegate.details import Details
from noisegate.errors import StorageFull, StorageUnavailable
from noisegate.learning.allocator import keep_freed_memory
from noisegate.learning.memory import InsufficientMemory
from noisegate.learning.stopping import early_stopping
from noisegate.learning.training import Progress
from noisegate.store import executions
from noisegate.store.leases import Lease, Renewed
from noisegate.store.tables import Execution, utc_now
from worker import cells
from worker.checkpoints import Checkpoints
from worker.claiming import Claimed, claim_more, claim_oldest
from worker.devices import NoDevice, broken_by, uses_gpu
from worker.kinds import RUNNERS
from worker.kinds.runner import Finish, Work
from worker.lease import DATABASE_AWAY, Cancelled, Draining, Heartbeat, Stop, draining
from worker.metrics import CLAIMS, EPOCH_SECONDS, IMAGES_TRAINED
from worker.problems import failure_of
from worker.recording import fail, record, write
from worker.resources import Resources

log = structlog.get_logger(__name__)

# More than a worker has processes; a message too many finds nothing to claim.
_WAKEUPS = 64


# Failures of this machine rather than of the work: another worker may not meet them.
_ENVIRONMENT = (
    OSError,
    StorageFull,
    StorageUnavailable,
    MemoryError,
    NoDevice,
    InsufficientMemory,
    torch.OutOfMemoryError,
    torch.AcceleratorError,
)


def train_oldest(resources: Resources) -> None:
    """Claim the executions that have waited longest, run them, and record what came of each."""
    claimed = None if draining.is_set() else claim_oldest(resources)
    if claimed is None:
        return  # whatever waits stays for another worker, whose reaper will find it
    with structlog.contextvars.bound_contextvars(
        experiment=claimed.executions[0].experiment_id, executions=claimed.ids, attempt=claimed.leases[0].attempt
    ):
        _trace(resources, claimed)


def _trace(resources: Resources, claimed: Claimed) -> None:
    experiment = claimed.executions[0].cell.experiment
    about: dict[str, AttributeValue] = {
        "noisegate.experiment": experiment.id,
        "noisegate.worker": resources.owner,
        "noisegate.attempt": claimed.leases[0].attempt,
        "noisegate.since_posted_seconds": (utc_now() - experiment.created_at).total_seconds(),
    }
    with tracing.span("noisegate.claim", parent=experiment.traceparent, attributes=about) as opened:
        try:
            _train(resources, claimed)
        finally:
            opened.set_attribute("noisegate.executions", claimed.ids)


def _train(resources: Resources, claimed: Claimed) -> None:
    log.info("claimed")
    CLAIMS.inc(len(claimed.ids))
    renew, seconds = partial(_renew, resources, claimed), resources.settings.heartbeat_seconds
    heartbeat = Heartbeat(resources.sessions, claimed.leases, renew, seconds=seconds)
    try:
        try:
            with heartbeat:
                _run(resources, claimed, heartbeat)
        except Stop as stop:
            _stop(resources, claimed, heartbeat.held, stop)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            if broken := broken_by(error):
                _abandon(resources, claimed, heartbeat.held, broken)
            for lease in heartbeat.held:
                _give_up(resources, lease, error)
    except DATABASE_AWAY:
        log.exception("left_to_the_reaper", executions=[lease.id for lease in heartbeat.held])
    _wake_others(resources, claimed)


def _wake_others(resources: Resources, claimed: Claimed) -> None:
    """One message in, one message out: as many stay under way as were sent at first.

    Those that came while everything waited for a base found nothing, and are gone: after a base all are sent anew.
    """
    with resources.sessions.reading() as session:
        base = any(executions.is_base(session, id) for id in claimed.ids)
        waiting = executions.count_waiting(session, most=_WAKEUPS if base else 1)
    if waiting:
        resources.wakeups.train(claimed.ids[0], count=waiting)
    else:
        cells.forget()


def _stop(resources: Resources, claimed: Claimed, held: Sequence[Lease], stop: Stop) -> None:
    """The work was asked to end: the rows are given back or cancelled; a lost one is somebody else's."""
    log.info("stopped", executions=[lease.id for lease in held], reason=type(stop).__name__)
    for lease in held:
        if isinstance(stop, Draining):
            write(resources, lease, executions.release, outcome="given_back")
        elif isinstance(stop, Cancelled):
            cancelled = partial(executions.record_cancelled, progress=claimed.progress.get(lease.id))
            write(resources, lease, cancelled, outcome="cancelled")


def _renew(resources: Resources, claimed: Claimed, session: Session, held: Sequence[Lease]) -> Renewed:
    return executions.renew_all(session, held, resources.settings.lease_seconds, dict(claimed.progress))


def _run(resources: Resources, claimed: Claimed, heartbeat: Heartbeat) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    heartbeat.check()
    alone = len(claimed.ids)
    claim_more(resources, claimed)
    CLAIMS.inc(len(claimed.ids) - alone)
    structlog.contextvars.bind_contextvars(executions=claimed.ids)
    heartbeat.hold(claimed.leases)
    leases = dict(zip(claimed.ids, claimed.leases, strict=True))
    began_at = time.time_ns()
    for execution, finish in _finishes(resources, claimed, heartbeat):
        lease = leases[execution.id]
        about: dict[str, AttributeValue] = {"noisegate.execution": execution.id, "noisegate.attempt": lease.attempt}
        with (
            structlog.contextvars.bound_contextvars(execution=execution.id, attempt=lease.attempt),
            tracing.span("noisegate.execution", began_at=began_at, attributes=about),
        ):
            _end(resources, heartbeat, execution, lease, finish)


def _finishes(resources: Resources, claimed: Claimed, heartbeat: Heartbeat) -> Iterator[tuple[Execution, Finish]]:
    ids = {execution.seed: execution.id for execution in claimed.executions}

    def note(progress: Progress) -> None:
        EPOCH_SECONDS.observe(progress.seconds)
        IMAGES_TRAINED.inc(progress.images)
        claimed.progress[ids[progress.seed]] = _told(progress)
        heartbeat.tell_soon()

    checkpoints = Checkpoints(resources, claimed.executions, claimed.leases)
    work = Work(resources, claimed.executions, claimed.spec, heartbeat.check, note, checkpoints)
    return RUNNERS[work.spec.kind].run(work)


def _told(progress: Progress) -> dict[str, object]:
    """The columns of an execution's row that say how far it is."""
    stopping = early_stopping(progress.holdout_losses)
    return {
        "epochs_done": progress.epoch,
        "images_per_second": progress.images_per_second,
        "losses_by_epoch": list(progress.losses),
        **({"details": Details(early_stopping=stopping)} if stopping else {}),
    }


def _end(resources: Resources, heartbeat: Heartbeat, execution: Execution, lease: Lease, finish: Finish) -> None:
    """Bring one execution to its end; what goes wrong with it is no concern of those that were trained beside it."""
    try:
        with tracing.span("noisegate.finish"):
            finished = finish()
        with tracing.span("noisegate.record"):
            heartbeat.persist(partial(record, resources, execution, lease, finished))
        heartbeat.let_go(lease)
    except (Stop, *DATABASE_AWAY):
        raise
    except Exception as error:
        if broken_by(error):
            raise  # nothing else that this process holds can be finished
        heartbeat.let_go(lease)  # to run out, if another is to try
        _give_up(resources, lease, error)


def _give_up(resources: Resources, lease: Lease, error: Exception) -> None:
    """A failure of this machine: note it and let the lease run out, so that another may try. Any other: it would come again."""
    log.error("execution_failed", execution=lease.id, exc_info=error)
    tracing.failed(error)
    if _is_of_this_machine(error):
        noted = partial(executions.note_failure, error=failure_of(error, resources.owner))
        write(resources, lease, noted, outcome="left")
    else:
        fail(resources, lease, failure_of(error, resources.owner))


def _is_of_this_machine(error: Exception) -> bool:
    """Whether it is a failure of this machine. What CUDA's libraries lack or run out of comes as a bare RuntimeError."""
    return isinstance(error, _ENVIRONMENT) or (type(error) is RuntimeError and uses_gpu())


def _abandon(resources: Resources, claimed: Claimed, held: Sequence[Lease], error: torch.AcceleratorError) -> NoReturn:
    """The CUDA context is broken, for good: note it for all that had not ended, and go."""
    log.error("device_broken", executions=claimed.ids, exc_info=error)
    failure = failure_of(error, resources.owner)
    try:
        for lease in held:
            write(resources, lease, partial(executions.note_failure, error=failure), outcome="left")
        _wake_others(resources, claimed)
    except Exception:
        log.exception("failure_not_noted", executions=claimed.ids)
    _end_process()


def _end_process() -> NoReturn:
    """End this process without a word to anybody, so that Celery starts a fresh one in its place.

    After an illegal access every call of CUDA fails until the process ends: one that lived on would claim all that waits
    and fail it. Not by `sys.exit`, whose tidying up includes CUDA's own, which may hang or crash. The message that led
    here was acknowledged when it came (`worker.app`), so it is not delivered again; the reaper sees a process that died, and
    what it held waits anew, at once.
    """
    log.critical("process_ends", exit_code=os.EX_SOFTWARE)
    os._exit(os.EX_SOFTWARE)
