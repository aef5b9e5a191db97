"""The answers of /results; see `noisegate.api.answers`."""

from pydantic import Field

from noisegate.api.answers import (
    ConcernedExecutionAnswer,
    DatasetName,
    Point,
    PublicationAnswer,
    RegularisationAnswer,
    State,
)
from noisegate.api.base import Answer


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


class AgainstControlAnswer(Answer):
    """A cell that leaves images out, against one that leaves as many others out at random."""

    control: str
    cell: int
    difference: DifferenceAnswer | None


class ExcludedAnswer(Answer):
    """The training images that a cell leaves out."""

    experiment: str | None
    table: str | None
    control: str | None
    holdout_stays: bool = False
    count: int
    classes: dict[str, int]
    digest: str
    against: list[AgainstControlAnswer]


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
    seed_texts: list[str] = Field([])
    measures: dict[str, Estimate]
    subgroup: SubgroupUsedAnswer | None
    excluded: ExcludedAnswer | None = None
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
    seed_text: str | None = None
    state: State
    losses: list[float | None]
    holdout_losses: list[float | None]


class CurvesAnswer(Answer):
    """The curves of all executions of an experiment, by cell and execution."""

    experiment: str
    cells: list[PointAnswer]
    executions: list[CurveAnswer]


class FigureAnswer(Answer):
    """A figure and where to get it."""

    name: str
    title: str
    svg: str
    png: str


class LossAnswer(Answer):
    """The loss of one cell by epoch: mean, standard error and n over its executions."""

    cell: int
    label: str
    n: list[int]
    mean: list[float]
    standard_error: list[float | None]


class SampleAnswer(Answer):
    """What the executions say of one training image; the service's documentation says what each number means."""

    image: int
    picture: str
    name: str | None
    label: str
    suggested: str
    value: float | None
    reasons: list[str]
    executions: int
    confidence: float | None
    probability: float | None
    spread_epochs: float | None
    spread_executions: float | None
    correct: float | None
    forgotten: float | None
    aum: float | None
    el2n: float | None
    above_noise: float | None
    out_of_sample: float | None
    label_quality: float | None
    neighbour_distance: float | None
    # A service of before these answers without them.
    neighbour_agreement: float | None = None
    left_out: float | None = None
    exact_copy_of: int | None
    near_copy_of: int | None
    other_class_copy: int | None
    test_copy: int | None
    darkest: float | None
    brightest: float | None
    bits: float | None
    sharpness: float | None
    aspect: float | None


class ConfusionAnswer(Answer):
    """How often images of each class were given each class, in one set of test images."""

    name: str
    images: int
    labels: list[str]
    given: list[str]
    counts: list[list[int]]
    rejected: list[int]


class ConfusionsAnswer(Answer):
    """The confusion matrices of one execution."""

    experiment: str
    cell: int
    execution: int
    sets: list[ConfusionAnswer]


class ImageAnswer(Answer):
    """What one execution said of one test image."""

    image: int
    label: str
    given: str
    probability: float | None
    rejected: bool | None
    reject_score: float


class RecordedConfusionAnswer(Answer):
    """The confusion matrix of the test images, as the mean over executions that recorded samples."""

    classes: list[str]
    called: list[str]
    executions: int
    counts: list[list[float]]
