"""The end of an execution, into rows and files: in one transaction, and no file stays that no row names."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import structlog
import torch
from sqlalchemy.orm import Session

from noisegate.api.card import Card
from noisegate.api.problems import Failure
from noisegate.learning.export import ModelFiles
from noisegate.manifest import ModelManifest
from noisegate.store import executions, experiments, files, models, sample_tables
from noisegate.store.executions import ExecutionResult
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.tables import Execution
from worker.metrics import EXECUTIONS_ENDED
from worker.resources import Resources

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FinishedExecution:
    """One execution that is to be recorded: its result, its model if its cell may keep it, the scores of a base, those of each
    test image as Parquet, where its kind keeps them, and what it said of each training image, where that is asked for.
    """

    result: ExecutionResult
    files: ModelFiles | None = None
    card: Card | None = None
    keep: str = "none"
    scores: bytes | None = None
    samples: bytes | None = None
    dynamics: bytes | None = None


def record(resources: Resources, execution: Execution, lease: Lease, finished: FinishedExecution) -> None:
    """Enter the result and put its files.

    Files are put and removed under one lock: a worker whose lease was lost, or another experiment with the same spec, may
    hold the very bytes that this one is about to register.
    """
    doubtful: list[str] = []
    try:
        with resources.sessions.begin() as session:
            doubtful += executions.checkpoint_of(session, lease)
            experiments.lock(session, execution.experiment_id)
            files.lock(session)
            if finished.files:
                doubtful += _register(resources, session, execution, finished.files, finished)
            parts = {name: getattr(finished, name) for name in ("scores", "samples", "dynamics")}
            digests = {f"{name}_digest": resources.artefacts.put_bytes(part) for name, part in parts.items() if part}
            doubtful += digests.values()
            ended = executions.record_success(session, lease, finished.result, **digests)
            table = sample_tables.ask_once_ended(session, ended)
        if table:
            resources.wakeups.derive(table)
        EXECUTIONS_ENDED.labels("succeeded").inc()
    except LeaseLost:
        EXECUTIONS_ENDED.labels("refused").inc()
        log.warning("result_refused", execution=lease.id, attempt=lease.attempt)
    finally:
        files.discard(resources.sessions, resources.artefacts, doubtful)


def fail(resources: Resources, lease: Lease, failure: Failure) -> None:
    """End the execution as failed, for this reason."""
    write(resources, lease, lambda session, held: executions.record_failure(session, held, failure), outcome="failed")


def write(resources: Resources, lease: Lease, change: Callable[[Session, Lease], object], *, outcome: str) -> None:
    """Change the leased row, if the lease still holds; it counts as one that ended so."""
    doubtful: list[str] = []
    try:
        with resources.sessions.begin() as session:
            doubtful += executions.checkpoint_of(session, lease)
            change(session, lease)
        EXECUTIONS_ENDED.labels(outcome).inc()
    except LeaseLost:
        EXECUTIONS_ENDED.labels("refused").inc()
        log.warning("write_refused", execution=lease.id, attempt=lease.attempt)
    files.discard(resources.sessions, resources.artefacts, doubtful)


@lru_cache(maxsize=8)
def device_name(device: str) -> str:
    """The device as a person would name it."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def _register(
    resources: Resources, session: Session, execution: Execution, exported: ModelFiles, finished: FinishedExecution
) -> list[str]:
    parts = (exported.weights, _json(exported.manifest), exported.onnx, exported.reference)
    digests = [resources.artefacts.put_bytes(part) for part in parts if part is not None]
    named = models.ModelDigests(*digests)
    replaced = models.register(session, execution.id, named, exported.manifest, keep=finished.keep, card=finished.card)
    return digests + replaced


def _json(manifest: ModelManifest) -> bytes:
    return manifest.model_dump_json(indent=2).encode()
