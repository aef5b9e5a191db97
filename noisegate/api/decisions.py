"""What /classify and a model's card answer, as JSON objects with these keys. Shares, probabilities and AUROCs lie in 0 … 1."""

from typing import Any, Literal

from pydantic import Field

from noisegate.api.answers import FindingAnswer, ProblemAnswer
from noisegate.api.base import Answer, Open
from noisegate.api.dataset_answers import CopyCountsAnswer
from noisegate.api.model_answers import DecisionRuleAnswer, ModelAnswer


class ModelName(Answer):
    id: str
    alias: str | None
    version: str


class ScoreFoundAnswer(Answer):
    """One score of one image, and what it alone would decide."""

    value: float
    higher_means: Literal["known", "unknown"]
    threshold: float | None
    rejects: bool | None


class TemperatureScaledAnswer(Answer):
    temperature: float
    probabilities: dict[str, float]
    noise_probability: float | None


class ConformalAnswer(Answer):
    classes: dict[str, float]
    none_of_these: float


class TimingAnswer(Answer):
    batch_size: int
    decode_ms: float
    queue_ms: float
    predict_ms: float


class RuleScoreAnswer(Answer):
    score: str
    value: float
    higher_means: Literal["known", "unknown"]
    threshold: float
    rejects: bool
    reason: Literal["unsure", "unknown"]


class DecisionAnswer(Answer):
    label: str
    known_label: str
    probabilities: dict[str, float]
    noise_probability: float | None
    temperature_scaled: TemperatureScaledAnswer | None
    reject_score: float
    threshold: float | None
    max_false_reject: float
    rejected: bool
    reason: Open[Literal["noise", "low_confidence", "unsure", "unknown"]] | None
    rule: list[RuleScoreAnswer] | None = None  # where a rule decides
    scores: dict[str, ScoreFoundAnswer]
    conformal: ConformalAnswer | None
    calibrated: bool
    note: str | None
    model: ModelName
    timing: TimingAnswer


class MinimalAnswer(Answer):
    """What most callers act on: the label, its probability, and whether and why the image was rejected."""

    label: str
    probability: float
    rejected: bool
    reason: Open[Literal["noise", "low_confidence", "unsure", "unknown"]] | None


class BatchLineAnswer(Answer):
    index: int
    name: str | None
    classification: DecisionAnswer | None
    problem: ProblemAnswer | None


class MinimalLineAnswer(Answer):
    """What came of one of many images: a minimal classification or a problem."""

    index: int
    name: str | None
    classification: MinimalAnswer | None
    problem: ProblemAnswer | None


class FalseRejectAnswer(Answer):
    max_false_reject: float
    threshold: float | None
    rejected: float
    low: float
    high: float


class BudgetShareAnswer(Answer):
    max_false_reject: float
    rejected: float


class Family(Answer):
    name: str
    title: str
    group: Open[Literal["noise", "images", "natural_structure"]]
    trained: bool
    images: int
    auroc: float | None
    scores: dict[str, float]
    rejected: float | None
    rejected_as_noise: float | None
    rejected_at: list[BudgetShareAnswer] = Field([])


class UntrainedNoiseAnswer(Answer):
    families: list[str]
    auroc: float
    scores: dict[str, float]
    rejected: float


class ReliabilityBinAnswer(Answer):
    count: int
    confidence: float | None
    accuracy: float | None


class ReliabilityAnswer(Answer):
    error: float
    bins: list[ReliabilityBinAnswer]


class CalibrationErrorAnswer(Answer):
    """As trained, and with logits divided by the temperature."""

    before: ReliabilityAnswer
    after: ReliabilityAnswer | None


class RiskPointAnswer(Answer):
    coverage: float
    risk: float


class RiskCoverageAnswer(Answer):
    aurc: float
    curve: list[RiskPointAnswer]


class CardAnswer(Answer):
    format: str = "noisegate-card-1"
    test_images: int
    accuracy: float
    temperature: float | None
    calibration_error: CalibrationErrorAnswer
    risk_coverage: RiskCoverageAnswer
    false_reject: list[FalseRejectAnswer]
    families: list[Family]
    untrained_noise: UntrainedNoiseAnswer | None
    rule: DecisionRuleAnswer | None = None


class CardDataAnswer(Answer):
    """What is known of the images that a model was trained and measured on."""

    dataset: str
    name: str
    left_out: int
    notes: list[str]
    test_in_train: CopyCountsAnswer | None
    across_classes: CopyCountsAnswer | None
    messages: list[str]


class ModelCardAnswer(Answer):
    model: ModelAnswer
    spec: dict[str, Any]
    findings: list[FindingAnswer]
    data: CardDataAnswer | None = None
    card: CardAnswer
