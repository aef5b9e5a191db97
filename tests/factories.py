"""Rows for tests, made through the store's own functions."""

from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.problems import Failure
from noisegate.details import Details
from noisegate.judgement import Finding, FindingCode, Judgement, MeasuredOn
from noisegate.manifest import Calibration, Metrics, ModelManifest
from noisegate.spec import ClassifierExperiment, ExperimentSpec, TrainingExperiment, parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import claims, datasets, executions, ingestions, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.executions import ExecutionResult
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.models import ModelDigests
from noisegate.store.tables import Base, Dataset, Execution, Experiment

LEASE_SECONDS = 30.0


def digest(number: int) -> str:
    """A SHA-256 digest's form, of nothing."""
    return f"{number:064x}"


def packed(number: int = 1, train_count: int = 100) -> ingestions.Packed:
    """What ingestion would have found in a dataset of two classes; different numbers are different contents."""
    return ingestions.Packed(
        classes=["cat", "dog"],
        counts={"train": {"cat": train_count // 2, "dog": train_count // 2}, "test": {"cat": 10, "dog": 10}},
        train_count=train_count,
        test_count=20,
        skipped=0,
        content_hash=digest(number),
        images_digest=digest(1000 + number),
        labels_digest=digest(2000 + number),
        licence=None,
        originals_digest=digest(4000 + number),
        originals_index_digest=digest(5000 + number),
        originals_bytes=1_000,
    )


def ready_dataset(session: Session, name: str = "pets", *, number: int = 1, train_count: int = 100) -> Dataset:
    """A dataset of two classes that is ready; no files lie behind it."""
    waiting = datasets.register(
        session, name=name, source="upload", image_size=32, upload_digest=digest(3000 + number)
    ).dataset
    claimed = ingestions.claim(session, waiting.id, owner="factory", lease_seconds=LEASE_SECONDS)
    assert claimed is not None
    return ingestions.record_ready(session, claimed[1], packed(number, train_count))


def stored_dataset(
    session: Session, artefacts: Artefacts, name: str = "shades", *, train_count: int = 120, image_size: int = 8
) -> Dataset:
    """A dataset with real arrays behind it: dark and bright images, which a network tells apart after a few epochs."""
    generator = np.random.default_rng(5)
    labels = np.arange(train_count + 40, dtype=np.int64) % 2
    base = np.where(labels == 0, 60, 190)[:, None, None, None]
    noise = generator.integers(-40, 40, (len(labels), image_size, image_size, 3))
    with artefacts.scratch() as folder:
        np.save(folder / "images.npy", (base + noise).astype(np.uint8), allow_pickle=False)
        np.save(folder / "labels.npy", labels, allow_pickle=False)
        digests = [artefacts.put_file(folder / "images.npy"), artefacts.put_file(folder / "labels.npy")]
    waiting = datasets.register(
        session, name=name, source="upload", image_size=image_size, upload_digest=digests[0]
    ).dataset
    claimed = ingestions.claim(session, waiting.id, owner="factory", lease_seconds=LEASE_SECONDS)
    assert claimed is not None
    found = ingestions.Packed(
        classes=["dark", "bright"],
        counts={"train": {"dark": train_count // 2, "bright": train_count // 2}, "test": {"dark": 20, "bright": 20}},
        train_count=train_count,
        test_count=40,
        skipped=0,
        content_hash=digests[0],
        images_digest=digests[0],
        labels_digest=digests[1],
        licence=None,
    )
    return ingestions.record_ready(session, claimed[1], found)


def shades_spec(**changes: Any) -> TrainingExperiment:
    """One cell of one execution on `stored_dataset`, with noise and a holdout; a second or so of training."""
    training = {
        "epochs": 20,
        "batch_size": 20,
        "learning_rate": 0.003,
        "learning_rate_drop": None,
        "first_layer_std": 0.1,
        "precision": "float32",
    }
    document = {"dataset": "shades", "image_size": 8, "executions": 1, "holdout": 0.2, "noise": {"family": "uniform"}}
    return TrainingExperiment.model_validate(document | {"training": training | changes.pop("training", {})} | changes)


def spec(dataset: str = "pets", **changes: Any) -> ExperimentSpec:
    """Two cells (without noise, 1× uniform) of two executions each, unless `changes` say otherwise."""
    document = {
        "dataset": dataset,
        "executions": 2,
        "training": {"epochs": 2},
        "noise": {"family": "uniform"},
        "sweep": {"noise.quantity": [0, 1]},
    }
    return parse_spec(document | changes)


def queued_experiment(session: Session, wanted: ExperimentSpec | None = None, caps: Caps | None = None) -> Experiment:
    """An experiment of which nothing has started."""
    planned = planning.plan(session, wanted or spec(), caps or Caps())
    return planning.create(session, planned)


def claim_one(session: Session, owner: str = "w1", lease_seconds: float = LEASE_SECONDS) -> tuple[Execution, Lease]:
    """Claim the execution that has waited longest; there must be one."""
    granted = claims.claim(session, owner=owner, lease_seconds=lease_seconds, capacity=1)
    assert granted, "an execution waits"
    return claims.rows_of(session, granted)[0]


def renew(session: Session, lease: Lease, lease_seconds: float = LEASE_SECONDS, **progress: object) -> bool:
    """Renew one lease as a heartbeat does, with what it has to tell; answers whether the execution may go on.

    Raises:
        LeaseLost: another worker has taken over.
    """
    renewed = executions.renew_all(session, [lease], lease_seconds, {lease.id: progress})
    if renewed.lost:
        raise LeaseLost(lease.id)
    return renewed.may_go_on


def judgement(accuracy: float = 0.7, *codes: FindingCode, measured_on: MeasuredOn = "holdout") -> Judgement:
    """Of 100 images of two classes, with a finding of each of these codes."""
    findings = [Finding(code=code, detail=f"found: {code}", remedy=f"against {code}.") for code in codes]
    return Judgement(
        measured_on=measured_on,
        images=100,
        correct=round(100 * accuracy),
        most_frequent=0.5,
        p_value=0.5,
        called_noise=0.0,
        findings=findings,
    )


def outcome(
    accuracy: float = 0.75, holdout_accuracy: float | None = 0.7, judged: Judgement | None = None
) -> ExecutionResult:
    """A result."""
    return ExecutionResult(
        metrics=metrics(accuracy),
        details=Details(judgement=judged),
        holdout_accuracy=holdout_accuracy,
        losses_by_epoch=[1.0, 0.5],
        train_seconds=2.0,
        images_per_second=100.0,
        precision="float32",
        device="cpu",
        versions={"noisegate": "test"},
    )


def failure(code: str = "worker-lost", detail: str = "its lease ran out", **changes: Any) -> Failure:
    """Why something failed."""
    return Failure(code=code, title="Lost", detail=detail, **changes)


def metrics(accuracy: float = 0.75) -> Metrics:
    return Metrics(
        test_images=20,
        accuracy=accuracy,
        confidence=0.8,
        spuriousness=0.6,
        true_class_probability=0.2,
        noise_per_10000=0.0,
        false_reject=0.05,
    )


def manifest(
    execution: Execution, holdout_accuracy: float | None = 0.7, judged: Judgement | None = None
) -> ModelManifest:
    """The manifest of this execution's model."""
    cell = execution.cell.spec
    assert isinstance(cell, ClassifierExperiment)
    return ModelManifest(
        network="paper",
        image_size=32,
        classes=["cat", "dog"],
        has_noise_class=cell.has_noise_class,
        calibration=None if holdout_accuracy is None else Calibration(samples=10, quantiles=[0.0, 0.5, 0.9]),
        holdout_accuracy=holdout_accuracy,
        metrics=metrics(),
        dataset_hash=digest(1),
        spec=cell,
        cell=execution.cell.position,
        execution=execution.position,
        seed=execution.seed,
        precision="float32",
        device="cpu",
        versions={},
        onnx_largest_difference=0.0,
        judgement=judged,
    )


def write_json(session: Session, column: str, id: str, document: object) -> None:
    """Write JSON into a row past the type of its column (`table.name`), as another version would."""
    table, name = column.split(".")
    assert name in Base.metadata.tables[table].c
    raw = sa.table(table, sa.column("id"), sa.column(name, sa.JSON()))
    session.execute(sa.update(raw).where(raw.c.id == id).values({name: document}))


def model_files(number: int) -> ModelDigests:
    """Digests that no other number gives; no files lie behind them."""
    return ModelDigests(*(digest(10 * number + part) for part in range(4)))
