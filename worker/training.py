"""One claim from rows to rows: load, train, export, record. No transaction is open while training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import structlog
import torch
from billiard.process import current_process
from sqlalchemy.orm import Session

from noisegate.errors import StorageFull
from noisegate.learning.executions import CellData, ExecutionOutcome, PreparedCell, prepare_cell, run_executions
from noisegate.learning.export import ModelFiles, export_model, versions
from noisegate.learning.training import Diverged, Progress
from noisegate.manifest import ModelManifest
from noisegate.spec import ExperimentSpec
from noisegate.store import executions, experiments, models
from noisegate.store.artefacts import Artefacts
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.packed import open_packed
from noisegate.store.settings import Settings
from noisegate.store.tables import Dataset, Execution
from worker.lease import DATABASE_AWAY, Cancelled, Draining, Heartbeat, Stop, draining
from worker.problems import problem_of
from worker.resources import Resources

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Claimed:
    """Executions of one cell that this process holds, and where each stands in its training."""

    executions: Sequence[Execution]
    leases: Sequence[Lease]
    progress: dict[int, dict[str, object]]

    @property
    def spec(self) -> ExperimentSpec:
        return ExperimentSpec.model_validate(self.executions[0].cell.spec)

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
    """Claim the executions that have waited longest, train them, and record what came of each."""
    claimed = None if draining.is_set() else _claim(resources)
    if claimed is None:
        return  # whatever waits stays for another worker, whose reaper will find it
    log.info("claimed", executions=claimed.ids, attempt=claimed.leases[0].attempt)
    try:
        _train(resources, claimed)
    except Stop as stop:
        _stop(resources, claimed, stop)
    except DATABASE_AWAY:
        log.exception("left_to_the_reaper", executions=claimed.ids)
    except Exception as error:
        for lease in claimed.leases:
            _give_up(resources, lease, error)
    with resources.sessions.reading() as session:
        waiting = executions.any_waiting(session)
    if waiting:
        # One message in, one message out: as many stay under way as were sent at first.
        resources.wakeups.train(claimed.ids[0])


def _claim(resources: Resources) -> Claimed | None:
    settings = resources.settings
    granted = None
    while granted is None:
        with resources.sessions.begin() as session:
            granted = executions.claim(
                session,
                owner=resources.owner,
                lease_seconds=settings.lease_seconds,
                capacity=settings.claim_capacity,
            )
    return Claimed([execution for execution, _ in granted], [lease for _, lease in granted], {}) if granted else None


def _stop(resources: Resources, claimed: Claimed, stop: Stop) -> None:
    """The work was asked to end: the rows are given back or cancelled; a lost one is somebody else's."""
    log.info("stopped", executions=claimed.ids, reason=type(stop).__name__)
    changes = {Draining: executions.release, Cancelled: executions.record_cancelled}
    for lease in claimed.leases:
        if (change := changes.get(type(stop))) is not None:
            _write(resources, lease, change)


def _train(resources: Resources, claimed: Claimed) -> None:
    settings = resources.settings
    torch.set_num_threads(1)

    def renew(session: Session, lease: Lease) -> bool:
        known = claimed.progress.get(claimed.seeds[claimed.leases.index(lease)], {})
        return executions.renew(session, lease, settings.lease_seconds, **known)

    def note(progress: Progress) -> None:
        claimed.progress[progress.seed] = {
            "epochs_done": progress.epoch,
            "images_per_second": progress.images_per_second,
        }

    with Heartbeat(resources.sessions, claimed.leases, renew, seconds=settings.heartbeat_seconds) as heartbeat:
        heartbeat.check()
        execution = claimed.executions[0]
        data = _cell_data(resources.artefacts, execution.cell.experiment.dataset)
        cell = prepare_cell(claimed.spec, data, execution.cell.position, heartbeat.check)
        device = choose_device(settings)
        results = run_executions(cell, claimed.seeds, between_batches=heartbeat.check, on_epoch=note, device=device)
        for execution, lease, result in zip(claimed.executions, claimed.leases, results, strict=True):
            _end(resources, heartbeat, execution, lease, cell, result)


def _end(
    resources: Resources,
    heartbeat: Heartbeat,
    execution: Execution,
    lease: Lease,
    cell: PreparedCell,
    result: ExecutionOutcome | Diverged,
) -> None:
    """Bring one execution to its end; what goes wrong with it is no concern of those that were trained beside it."""
    if isinstance(result, Diverged):
        heartbeat.persist(partial(_fail, resources, lease, _divergence(result)))
        return
    try:
        heartbeat.persist(partial(_record, resources, execution, lease, cell, result))
    except (Stop, *DATABASE_AWAY):
        raise
    except Exception as error:
        _give_up(resources, lease, error)


def _give_up(resources: Resources, lease: Lease, error: Exception) -> None:
    """Trouble of this machine: note it and let the lease run out, so that another may try. Any other: it would come again."""
    log.error("execution_failed", execution=lease.id, exc_info=error)
    if isinstance(error, _ENVIRONMENT):
        _write(resources, lease, partial(executions.note_trouble, error=problem_of(error)))
    else:
        _fail(resources, lease, problem_of(error))


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


def _cell_data(artefacts: Artefacts, dataset: Dataset) -> CellData:
    packed = open_packed(artefacts, dataset)
    train = packed.train_count
    return CellData(
        classes=tuple(packed.classes),
        train_images=packed.images[:train],
        train_labels=packed.labels[:train],
        test_images=packed.images[train:],
        test_labels=packed.labels[train:],
        dataset_hash=packed.content_hash,
    )


def _record(
    resources: Resources, execution: Execution, lease: Lease, cell: PreparedCell, outcome: ExecutionOutcome
) -> None:
    """The result and, if its cell keeps it, the model, in one transaction; no file stays that no row names.

    Files are put and removed under one lock: a worker whose lease was lost, or another experiment with the same spec, may
    hold the very bytes that this one is about to register.
    """
    exported = _export(resources, execution, cell, outcome)
    doubtful: list[str] = []
    try:
        with resources.sessions.begin() as session:
            experiments.lock(session, execution.experiment_id)
            models.lock_files(session)
            if exported:
                parts = (exported.weights, _json(exported.manifest), exported.onnx)
                doubtful.extend(resources.artefacts.put_bytes(part) for part in parts)
                keep, files = cell.spec.keep_models, models.ModelDigests(*doubtful)
                doubtful += models.register(session, execution.id, files, exported.manifest, keep=keep)
            executions.record_success(session, lease, _outcome(outcome))
    except LeaseLost:
        log.warning("result_refused", execution=lease.id, attempt=lease.attempt)
    finally:
        _discard_unnamed(resources, doubtful)


def _discard_unnamed(resources: Resources, digests: Sequence[str]) -> None:
    if digests:
        with resources.sessions.begin() as session:
            models.lock_files(session)
            for digest in models.unreferenced(session, digests):
                resources.artefacts.delete(digest)


def _export(
    resources: Resources, execution: Execution, cell: PreparedCell, outcome: ExecutionOutcome
) -> ModelFiles | None:
    """The model's files, unless its cell would not keep it as things stand: exporting takes time."""
    with resources.sessions.reading() as session:
        wanted = models.worth_keeping(
            session,
            execution.cell_id,
            keep=cell.spec.keep_models,
            holdout_accuracy=outcome.holdout_accuracy,
            position=execution.position,
        )
    return export_model(cell, outcome, execution=execution.position) if wanted else None


def _json(manifest: ModelManifest) -> bytes:
    return manifest.model_dump_json(indent=2).encode()


def _outcome(outcome: ExecutionOutcome) -> executions.Outcome:
    trained = outcome.trained
    return executions.Outcome(
        metrics=outcome.metrics.model_dump(mode="json"),
        holdout_accuracy=outcome.holdout_accuracy,
        losses_by_epoch=list(trained.losses),
        train_seconds=trained.train_seconds,
        images_per_second=trained.images_per_second,
        precision=trained.precision,
        device=_device_name(trained.device),
        versions=versions(),
    )


@lru_cache(maxsize=8)
def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def _fail(resources: Resources, lease: Lease, problem: dict[str, Any]) -> None:
    _write(resources, lease, partial(executions.record_failure, error=problem))


def _write(resources: Resources, lease: Lease, change: Callable[[Session, Lease], object]) -> None:
    try:
        with resources.sessions.begin() as session:
            change(session, lease)
    except LeaseLost:
        log.warning("write_refused", execution=lease.id, attempt=lease.attempt)


def _divergence(diverged: Diverged) -> dict[str, Any]:
    return {
        "code": "diverged",
        "title": "Training diverged",
        "detail": f"the loss stopped being a finite number in epoch {diverged.epoch} (seed {diverged.seed})",
        "remedy": "Lower training.learning_rate or training.first_layer_std.",
        "errors": [],
    }
