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


class PresetScale(Answer):
    dataset: str | None
    cells: int
    executions: int
    epochs: int | None


class PresetAnswer(Answer):
    name: str
    title: str
    source: str
    description: str
    scales: dict[str, PresetScale]


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


class Estimate(Answer):
    """Over the succeeded executions of one cell; std and standard error are null for fewer than two."""

    mean: float
    std: float | None
    standard_error: float | None
    n: int | None = None


class DifferenceAnswer(Answer):
    """The accuracy of this cell less that of the baseline cell, with its 95 % interval; null where nothing can be tested."""

    accuracy: float
    low: float | None
    high: float | None
    p_value: float | None
    sentence: str


class SubgroupUsedAnswer(Answer):
    """The training images of a cell with a subgroup, as often as drawn; null fields where a control chose at random."""

    size: int
    duplicates: int  # the old name of the next
    repeated_draws: int | None = None
    correct: int | None
    wrong: int | None
    classes: dict[str, int]


class Published(Answer):
    """What the paper prints for a cell."""

    accuracy: float | None
    accuracy_std: float | None
    confidence: float | None
    spuriousness: float | None
    true_class_probability: float | None
    noise_per_10000: float | None
    n: int | None
    note: str | None


class ProvenanceAnswer(Answer):
    precisions: list[str]
    devices: list[str]
    versions: list[dict[str, str]]
    images_per_second: Estimate | None


class ScoredCountsAnswer(Answer):
    correct: int
    wrong: int


class BaseAnswer(Answer):
    """The execution that decided over the subgroups."""

    experiment: str
    cell: int
    execution: int
    state: State
    scored: ScoredCountsAnswer | None


class PresetName(Answer):
    name: str
    scale: str
    source: str
    published_note: str


class CandidateAnswer(Answer):
    weight_decay: float
    log_loss: float | None


class RegularisationAnswer(Answer):
    """The weight decay that cross-validation chose for a cell."""

    weight_decay: float
    folds: int
    candidates: list[CandidateAnswer]


class ResultRow(Answer):
    cell: int
    point: Point
    label: str
    has_noise_class: bool
    executions: int
    n: int
    failed: int
    judged: int
    not_learnt: list[ConcernedExecutionAnswer]
    accuracy: Estimate | None
    confidence: Estimate | None
    spuriousness: Estimate | None
    true_class_probability: Estimate | None
    noise_per_10000: Estimate | None
    holdout_accuracy: Estimate | None
    false_reject: Estimate | None
    train_seconds: Estimate | None
    difference: DifferenceAnswer | None
    best_model: str | None
    seeds: list[int]
    measures: dict[str, Estimate]
    subgroup: SubgroupUsedAnswer | None
    regularisation: RegularisationAnswer | None = None
    published: Published | None
    provenance: ProvenanceAnswer


class ExperimentName(Answer):
    id: str
    name: str
    state: State


class ResultsAnswer(Answer):
    experiment: ExperimentName
    kind: str
    preset: PresetName | None
    seed: int
    base: BaseAnswer | None
    dataset: DatasetName | None
    published: PublicationAnswer | None
    baseline_cell: int | None
    confidence_level: float
    rows: list[ResultRow]


class SourceAnswer(Answer):
    """The file that somebody else's weights come from: its URL or name."""

    name: str
    sha256: str


class PromiseAnswer(Answer):
    """What max_false_reject promises of a model, or aims at: the whole rule is covered, or the threshold alone."""

    source: Open[Literal["holdout", "cross_validated"]] = "holdout"
    covers: Open[Literal["rule", "threshold"]]
    holdout_images: int
    called_noise: int | None
    smallest_max_false_reject: float


class ScoreAnswer(Answer):
    """What a score is, and what a higher value says of an image."""

    description: str
    higher_means: Literal["known", "unknown"]


class RuleScoreNamed(Answer):
    score: str
    reason: str | None = None


class DecisionRuleAnswer(Answer):
    """Which scores decide, and what a rejection by each is called."""

    scores: list[RuleScoreNamed]


class JudgementAnswer(Answer):
    """Whether a model has learnt, by its own answers."""

    measured_on: str
    images: int
    correct: int
    most_frequent: float
    p_value: float | None
    called_noise: float
    findings: list[FindingAnswer]


class FileAnswer(Answer):
    sha256: str


class FilesAnswer(Answer):
    """The files of a model, to be checked after a download."""

    weights: FileAnswer
    manifest: FileAnswer
    onnx: FileAnswer
    reference: FileAnswer | None


class ModelAnswer(Answer):
    """What it would know of its training is null where it was not trained here."""

    id: str
    experiment: str
    cell: int
    execution: int
    aliases: list[str]
    network: str
    image_size: int
    classes: list[str]
    has_noise_class: bool
    calibrated: bool
    default_threshold: float | None
    promise: PromiseAnswer | None
    rule: DecisionRuleAnswer | None = None
    holdout_accuracy: float | None
    metrics: dict[str, float | None] | None
    scores: dict[str, ScoreAnswer] = Field({})
    dataset_hash: str | None
    seed: int
    precision: str | None
    source: SourceAnswer | None
    versions: dict[str, str]
    onnx_largest_difference: float
    judgement: JudgementAnswer | None = None
    regularisation: RegularisationAnswer | None = None
    files: FilesAnswer | None = None
    created_at: datetime


class AliasAnswer(Answer):
    name: str
    model: str
    updated_at: datetime


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


class PointAnswer(Answer):
    """One cell: its number, and the swept values that make it what it is."""

    cell: int
    point: Point
    label: str


class CurveAnswer(Answer):
    """What one execution measured after each epoch; null where it was not finite, an empty list where nothing was measured."""

    id: str
    cell: int
    execution: int
    seed: int
    state: State
    losses: list[float | None]
    holdout_losses: list[float | None]


class CurvesAnswer(Answer):
    """The curves of all executions of an experiment, by cell and execution."""

    experiment: str
    cells: list[PointAnswer]
    executions: list[CurveAnswer]


class BudgetAnswer(Answer):
    """What one budget of false rejections costs."""

    max_false_reject: float
    thresholds: dict[str, float]
    held_out_rejected: float


class RuleAnswer(Answer):
    """The rule of a model, and what it can promise."""

    model: str
    rule: DecisionRuleAnswer | None
    available: list[str]
    smallest_max_false_reject: float | None
    budgets: list[BudgetAnswer]


class PresetChoiceAnswer(Answer):
    """One of the things that a preset may choose, and for which datasets."""

    name: str
    title: str
    when: str
    noise_images: int | None
    specs: dict[str, dict[str, Any]]


class PublishedRowAnswer(Answer):
    """What the paper prints for the cells with these settings."""

    cell: Point
    values: Published


class PresetWholeAnswer(PresetAnswer):
    """A preset with its specs and the published values."""

    specs: dict[str, dict[str, Any]]
    choices: list[PresetChoiceAnswer] = Field([])
    published: list[PublishedRowAnswer]
    published_note: str


class BackboneAnswer(Answer):
    """A network that somebody else has trained."""

    name: str
    source: Open[Literal["embedded", "folder", "hub"]]
    size_bytes: int | None
    image_size: int
    macs: int | None
    parameters: int | None
    fixed_size: bool
    fine_tune: bool
    licence: str
    note: str | None


class FigureAnswer(Answer):
    """A figure and where to get it."""

    name: str
    title: str
    svg: str
    png: str
