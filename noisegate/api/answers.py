"""The answers of the HTTP API, as they are: JSON objects with these keys. Shares and probabilities lie in 0 … 1."""

from typing import Any, Literal, NotRequired, TypedDict

Point = dict[str, Any]


class FieldProblemAnswer(TypedDict):
    field: str
    message: str
    remedy: str | None


class ProblemAnswer(TypedDict):
    type: str
    title: str
    status: int | None  # of an answer; what is kept with a failed dataset or execution has none
    detail: str
    code: str
    remedy: str | None
    errors: list[FieldProblemAnswer]


class FindingAnswer(TypedDict):
    """One reason to say that an execution has not learnt."""

    code: Literal["no_better_than_guessing", "called_noise", "collapsed"]
    detail: str
    remedy: str


class ConcernedExecutionAnswer(TypedDict):
    execution: int
    findings: list[FindingAnswer]


class PublicationAnswer(TypedDict):
    """What became of the alias `default` when an experiment succeeded."""

    outcome: Literal["set", "moved", "kept", "none"]
    model: str | None
    sentence: str
    remedy: str | None


class DatasetName(TypedDict):
    id: str
    name: str
    content_hash: str | None


class CellAnswer(TypedDict):
    cell: int
    point: Point
    label: str


class CountsAnswer(TypedDict):
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class PresetScale(TypedDict):
    dataset: str | None
    cells: int
    executions: int
    epochs: int | None


class PresetAnswer(TypedDict):
    name: str
    title: str
    source: str
    description: str
    scales: dict[str, PresetScale]


ExperimentState = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]


class ChoiceAnswer(TypedDict):
    """What a preset chose for the dataset."""

    name: str
    title: str
    reason: str


class AwaitedAnswer(TypedDict):
    """What is made of a dataset before executions can start."""

    id: str
    kind: str
    state: Literal["waiting", "running"]
    images_done: int
    images: int | None


class ExperimentAnswer(TypedDict):
    id: str
    name: str
    state: ExperimentState
    dataset: DatasetName | None  # null for kinds that need none
    spec: dict[str, Any]
    cells: list[CellAnswer]
    counts: CountsAnswer
    executions: int
    epochs: int
    epochs_done: int
    progress: float
    created_at: str
    started_at: str | None
    finished_at: str | None
    estimated_finish: str | None
    error: ProblemAnswer | None
    published: PublicationAnswer | None
    choice: NotRequired[ChoiceAnswer | None]  # older services choose nothing
    waits_for: NotRequired[list[AwaitedAnswer]]  # and make nothing before


class DeletedAnswer(TypedDict):
    """What went along with a deletion, or would go."""

    cells: int
    executions: int
    models: list[str]
    files: int


class HeldExecutionAnswer(TypedDict):
    experiment: str
    cell: int
    execution: int
    epochs: int
    epochs_done: int


class WorkerAnswer(TypedDict):
    name: str
    device: str
    processes: int
    heartbeat_age_seconds: float
    alive: bool
    executions: list[HeldExecutionAnswer]
    images_per_second: float | None


class PlannedCellAnswer(CellAnswer):
    noise_images: int
    training_images: int


class PlanWarningAnswer(TypedDict):
    field: str
    detail: str
    remedy: str


class EstimateAnswer(TypedDict):
    minutes: float | None
    detail: str


class DiskAnswer(TypedDict):
    kept_bytes: int
    most_bytes: int
    detail: str


class PlanAnswer(TypedDict):
    """The answer to a dry run."""

    dataset: DatasetName | None
    cells: list[PlannedCellAnswer]
    base: bool
    cell_count: int
    executions: int
    training_images: int
    # Older services give none of these.
    choice: NotRequired[ChoiceAnswer | None]
    warnings: NotRequired[list[PlanWarningAnswer]]
    estimate: NotRequired[EstimateAnswer]
    disk: NotRequired[DiskAnswer | None]


class ExecutionAnswer(TypedDict):
    id: str
    cell: int
    execution: int
    point: Point
    seed: int
    seed_text: NotRequired[str]  # older services give none
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    attempt: int
    epochs: int
    epochs_done: int
    images_per_second: float | None
    metrics: dict[str, float | None] | None
    holdout_accuracy: float | None
    losses_by_epoch: list[float] | None
    train_seconds: float | None
    precision: str | None
    device: str | None
    versions: dict[str, str] | None
    worker: str | None
    error: ProblemAnswer | None
    started_at: str | None
    finished_at: str | None


class Estimate(TypedDict):
    """Over the succeeded executions of one cell; std and standard error are null for fewer than two."""

    mean: float
    std: float | None
    standard_error: float | None
    n: NotRequired[int]


class DifferenceAnswer(TypedDict):
    """The accuracy of this cell less that of the baseline cell, with its 95 % interval; null where nothing can be tested."""

    accuracy: float
    low: float | None
    high: float | None
    p_value: float | None
    sentence: str


class SubgroupUsedAnswer(TypedDict):
    """The training images of a cell with a subgroup, as often as drawn; null fields where a control chose at random."""

    size: int
    duplicates: int  # the old name of the next
    repeated_draws: NotRequired[int]
    correct: int | None
    wrong: int | None
    classes: dict[str, int]


class Published(TypedDict):
    """What the paper prints for a cell."""

    accuracy: float | None
    accuracy_std: float | None
    confidence: float | None
    spuriousness: float | None
    true_class_probability: float | None
    noise_per_10000: float | None
    n: int | None
    note: str | None


class ProvenanceAnswer(TypedDict):
    precisions: list[str]
    devices: list[str]
    versions: list[dict[str, str]]
    images_per_second: Estimate | None


class ScoredCountsAnswer(TypedDict):
    correct: int
    wrong: int


class BaseAnswer(TypedDict):
    """The execution that decided over the subgroups."""

    experiment: str
    cell: int
    execution: int
    state: ExperimentState
    scored: ScoredCountsAnswer | None


class PresetName(TypedDict):
    name: str
    scale: str
    source: str
    published_note: str


class CandidateAnswer(TypedDict):
    weight_decay: float
    log_loss: float | None


class RegularisationAnswer(TypedDict):
    """The weight decay that cross-validation chose for a cell."""

    weight_decay: float
    folds: int
    candidates: list[CandidateAnswer]


class ResultRow(TypedDict):
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
    seed_texts: NotRequired[list[str]]  # older services give none
    measures: dict[str, Estimate]
    subgroup: SubgroupUsedAnswer | None
    # Older services give none.
    regularisation: NotRequired[RegularisationAnswer | None]
    published: Published | None
    provenance: ProvenanceAnswer


class ExperimentName(TypedDict):
    id: str
    name: str
    state: ExperimentState


class ResultsAnswer(TypedDict):
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


class SourceAnswer(TypedDict):
    """The file that somebody else's weights come from: its URL or name."""

    name: str
    sha256: str


class PromiseAnswer(TypedDict):
    """What max_false_reject promises of a model, or aims at: the whole rule is covered, or the threshold alone."""

    # Older services do not give it: it is the holdout then.
    source: NotRequired[Literal["holdout", "cross_validated"]]
    covers: Literal["rule", "threshold"]
    holdout_images: int
    called_noise: int | None
    smallest_max_false_reject: float


class ScoreAnswer(TypedDict):
    """What a score is, and what a higher value says of an image."""

    description: str
    higher_means: Literal["known", "unknown"]


class ModelAnswer(TypedDict):
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
    holdout_accuracy: float | None
    metrics: dict[str, float | None] | None
    scores: NotRequired[dict[str, ScoreAnswer]]  # older services do not tell
    dataset_hash: str | None
    seed: int
    seed_text: NotRequired[str]  # older services give none
    precision: str | None
    source: SourceAnswer | None
    versions: dict[str, str]
    onnx_largest_difference: float
    created_at: str


class AliasAnswer(TypedDict):
    name: str
    model: str
    updated_at: str


class ReadinessAnswer(TypedDict):
    ready: bool
    checks: dict[str, str]
