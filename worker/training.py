"""One claim from rows to rows: load, train, export, record. No transaction is open while training."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
import torch
from billiard.process import current_process
from sqlalchemy.orm import Session

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
from worker.lease import Cancelled, Draining, Forfeited, Heartbeat, draining
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
    def seeds(self) -> list[int]:
        return [execution.seed for execution in self.executions]


def train_oldest(resources: Resources) -> None:
    """Claim the executions that have waited longest, train them, and record what came of each."""
    settings = resources.settings
    if draining.is_set():
        return  # the row stays for another worker, whose reaper will find it
    with resources.sessions.begin() as session:
        granted = executions.claim(
            session, owner=resources.owner, lease_seconds=settings.lease_seconds, capacity=settings.claim_capacity
        )
    if not granted:
        return
    claimed = Claimed([execution for execution, _ in granted], [lease for _, lease in granted], {})
    log.info("claimed", executions=[lease.id for lease in claimed.leases], attempt=claimed.leases[0].attempt)
    try:
        _train(resources, claimed)
    except Draining:
        for lease in claimed.leases:
            _write(resources, lease, executions.release)
        resources.wakeups.train(claimed.leases[0].id, count=len(claimed.leases))
    except Cancelled:
        for lease in claimed.leases:
            _write(resources, lease, executions.record_cancelled)
    except Forfeited:
        log.warning("forfeited", executions=[lease.id for lease in claimed.leases])
    except Exception as error:
        # Whatever it is, the same input would meet it again: the execution fails and says why, the worker goes on.
        log.exception("execution_failed", executions=[lease.id for lease in claimed.leases])
        for lease in claimed.leases:
            _fail(resources, lease, problem_of(error))


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
            if isinstance(result, Diverged):
                _fail(resources, lease, _divergence(result))
            else:
                _record(resources, execution, lease, cell, result)


def choose_device(settings: Settings) -> str:
    """ "cpu", or the GPU that belongs to this process of the pool.

    Raises:
        RuntimeError: a GPU is asked for and there is none.
    """
    if settings.device == "cpu" or (settings.device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise RuntimeError("NOISEGATE_DEVICE is cuda, but PyTorch finds no CUDA device")
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

    Files are put and removed under the experiment's lock: a worker whose lease was lost may hold the very bytes that its
    successor is about to register.
    """
    exported = _export(resources, execution, cell, outcome)
    doubtful: list[str] = []
    try:
        with resources.sessions.begin() as session:
            experiments.lock(session, execution.experiment_id)
            if exported:
                parts = (exported.weights, _json(exported.manifest), exported.onnx)
                doubtful.extend(resources.artefacts.put_bytes(part) for part in parts)
                keep, files = cell.spec.keep_models, models.ModelFiles(*doubtful)
                doubtful += models.register(session, execution.id, files, exported.manifest, keep=keep)
            executions.record_success(session, lease, _outcome(outcome))
    except LeaseLost:
        log.warning("result_refused", execution=lease.id, attempt=lease.attempt)
    finally:
        _discard_unnamed(resources, execution.experiment_id, doubtful)


def _discard_unnamed(resources: Resources, experiment_id: str, digests: Sequence[str]) -> None:
    if digests:
        with resources.sessions.begin() as session:
            experiments.lock(session, experiment_id)
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


@functools.lru_cache(maxsize=8)
def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def _fail(resources: Resources, lease: Lease, problem: dict[str, Any]) -> None:
    _write(resources, lease, functools.partial(executions.record_failure, error=problem))


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
