"""What /classify and a model's card answer, as JSON objects with these keys. Shares, probabilities and AUROCs lie in 0 … 1."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from noisegate.api.answers import FindingAnswer, ModelAnswer, ProblemAnswer
from noisegate.api.dataset_answers import DuplicatesAnswer

RejectionReason = Literal["noise", "low_confidence", "unsure", "unknown"]


class ModelName(TypedDict):
    id: str
    alias: str | None
    version: str


class Score(TypedDict):
    """One score of one image, and what it alone would decide."""

    value: float
    higher_means: Annotated[
        Literal["known", "unknown"], Field(description="Whether a higher value speaks for a known or an unknown image.")
    ]
    threshold: Annotated[
        float | None,
        Field(
            description="From the same images and for the same max_false_reject as the decision's; null without one."
        ),
    ]
    rejects: Annotated[
        bool | None, Field(description="Whether the value lies beyond the threshold, on the unknown side.")
    ]


class TemperatureScaledAnswer(TypedDict):
    temperature: float
    probabilities: dict[str, float]
    noise_probability: float | None


class ConformalAnswer(TypedDict):
    classes: dict[str, float]
    none_of_these: float


class TimingAnswer(TypedDict):
    batch_size: int
    decode_ms: float
    queue_ms: float
    predict_ms: float


class RuleScoreAnswer(TypedDict):
    score: str
    value: float
    higher_means: Literal["known", "unknown"]
    threshold: float
    rejects: bool
    reason: Literal["unsure", "unknown"]


class RuleFound(TypedDict):
    rule: NotRequired[list[RuleScoreAnswer]]  # where a rule decides


class DecisionFound(RuleFound):
    """A decision, whoever is answered."""

    label: str
    known_label: str
    probabilities: dict[str, float]
    noise_probability: float | None
    temperature_scaled: TemperatureScaledAnswer | None
    reject_score: float
    threshold: float | None
    max_false_reject: float
    rejected: bool
    reason: RejectionReason | None
    scores: dict[str, Score]
    conformal: ConformalAnswer | None
    calibrated: bool
    note: str | None


class DecisionAnswer(DecisionFound):
    model: ModelName
    timing: TimingAnswer


class BatchLineAnswer(TypedDict):
    index: int
    name: str | None
    classification: DecisionAnswer | None
    problem: ProblemAnswer | None


class FalseRejectAnswer(TypedDict):
    max_false_reject: float
    threshold: float
    rejected: float
    low: float
    high: float


class Family(TypedDict):
    name: str
    title: str
    group: Literal["noise", "images", "natural_structure"]
    trained: bool
    images: int
    auroc: float | None
    scores: dict[str, float]
    rejected: float | None
    rejected_as_noise: float | None


class UntrainedNoiseAnswer(TypedDict):
    families: list[str]
    auroc: float
    scores: dict[str, float]
    rejected: float


class CardAnswer(TypedDict):
    test_images: int
    accuracy: float
    temperature: float | None
    calibration_error: dict[str, Any]
    risk_coverage: dict[str, Any]
    false_reject: list[FalseRejectAnswer]
    families: list[Family]
    untrained_noise: UntrainedNoiseAnswer | None


class ModelCardAnswer(TypedDict):
    model: ModelAnswer
    spec: dict[str, Any]
    findings: list[FindingAnswer]
    data: NotRequired[DuplicatesAnswer | None]  # as much of it as is read here; older services have none
    card: CardAnswer
