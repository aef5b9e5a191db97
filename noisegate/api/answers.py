"""The answers of the HTTP API as a client reads them. Shares and probabilities lie in 0 … 1.

The service has models of its own, which hold what makes an answer: specs, rows. tests/client/test_answers.py holds both to the same
fields, by the OpenAPI document. A field with a default is one that older services do not give.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from noisegate.api.base import Answer, Open

Point = dict[str, Any]


class FieldProblemAnswer(Answer):
    field: str
    message: str
    remedy: str | None


class ProblemAnswer(Answer):
    type: str
    title: str
    status: int | None  # of an answer; what is kept with a failed dataset or execution has none
    detail: str
    code: str
    remedy: str | None
    worker: str | None = None
    errors: list[FieldProblemAnswer]


class FindingAnswer(Answer):
    """One reason to say that an execution has not learnt."""

    code: Open[Literal["no_better_than_guessing", "called_noise", "collapsed"]]
    detail: str
    remedy: str


class ConcernedExecutionAnswer(Answer):
    execution: int
    findings: list[FindingAnswer]


class PublicationAnswer(Answer):
    """What became of the alias `default` when an experiment succeeded."""

    outcome: Open[Literal["set", "moved", "kept", "none"]]
    model: str | None
    sentence: str
    remedy: str | None


class DatasetName(Answer):
    id: str
    name: str
    content_hash: str | None


class CellAnswer(Answer):
    cell: int
    point: Point
    label: str
    is_base: bool = False
    finished_at: datetime | None = None


class CountsAnswer(Answer):
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


State = Open[Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]]


class ChoiceAnswer(Answer):
    """What a preset chose for the dataset."""

    name: str
    title: str
    reason: str


class AwaitedAnswer(Answer):
    """What is made of a dataset before executions can start."""

    id: str
    kind: str
    state: Open[Literal["waiting", "running", "ready", "failed"]]
    images_done: int
    images: int | None


class ExperimentAnswer(Answer):
    id: str
    name: str
    state: State
    preset: str | None = None
    scale: str | None = None
    dataset: DatasetName | None  # null for kinds that need none
    spec: dict[str, Any]
    cells: list[CellAnswer]
    counts: CountsAnswer
    executions: int
    epochs: int
    epochs_done: int
    progress: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    estimated_finish: datetime | None
    time_limit: float | None = None
    deadline: datetime | None = None
    error: ProblemAnswer | None
    published: PublicationAnswer | None
    choice: ChoiceAnswer | None = None
    waits_for: list[AwaitedAnswer] = Field([])


class DeletedAnswer(Answer):
    """What went along with a deletion, or would go."""

    experiment: str | None = None
    cells: int
    executions: int
    models: list[str]
    files: int


class HeldExecutionAnswer(Answer):
    id: str | None = None
    experiment: str
    cell: int
    execution: int
    epochs: int
    epochs_done: int
    images_per_second: float | None = None


class WorkerAnswer(Answer):
    name: str
    host: str | None = None
    device: str
    processes: int
    version: str | None = None
    started_at: datetime | None = None
    heartbeat_age_seconds: float
    alive: bool
    executions: list[HeldExecutionAnswer]
    images_per_second: float | None


class PlannedCellAnswer(Answer):
    cell: int
    point: Point
    label: str
    noise_images: int
    training_images: int


class PlanWarningAnswer(Answer):
    field: str
    detail: str
    remedy: str


class EstimateAnswer(Answer):
    minutes: float | None
    detail: str


class DiskAnswer(Answer):
    kept_bytes: int
    most_bytes: int
    detail: str


class PlanAnswer(Answer):
    """The answer to a dry run."""

    preset: str | None = None
    scale: str | None = None
    spec: dict[str, Any] = Field({})
    dataset: DatasetName | None
    cells: list[PlannedCellAnswer]
    base: bool
    cell_count: int
    executions: int
    training_images: int
    choice: ChoiceAnswer | None = None
    warnings: list[PlanWarningAnswer] = Field([])
    estimate: EstimateAnswer | None = None
    disk: DiskAnswer | None = None


class ExecutionAnswer(Answer):
    id: str
    cell: int
    execution: int
    point: Point
    seed: int
    seed_text: str | None = None
    state: State
    depends_on: str | None = None
    attempt: int
    epochs: int
    epochs_done: int
    checkpoint_epochs: int = 0
    images_per_second: float | None
    metrics: dict[str, float | None] | None
    details: dict[str, Any] | None = None
    holdout_accuracy: float | None
    losses_by_epoch: list[float | None] | None
    train_seconds: float | None
    precision: str | None
    device: str | None
    versions: dict[str, str] | None
    worker: str | None
    error: ProblemAnswer | None
    started_at: datetime | None
    finished_at: datetime | None


class CandidateAnswer(Answer):
    weight_decay: float
    log_loss: float | None


class RegularisationAnswer(Answer):
    """The weight decay that cross-validation chose for a cell."""

    weight_decay: float
    folds: int
    candidates: list[CandidateAnswer]


class ReadinessAnswer(Answer):
    ready: bool
    missing: list[str] = Field([])
    checks: dict[str, str]


class EventAnswer(Answer):
    """Something that happened to an experiment."""

    number: int
    type: str
    at: datetime
    data: dict[str, Any]
