"""What /classify and a model's card answer, as JSON objects with these keys. Shares, probabilities and AUROCs lie in 0 … 1."""

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from noisegate.api.answers import Model, Problem


class ModelName(TypedDict):
    id: str
    alias: str | None
    version: str


class Score(TypedDict):
    """One score of one image, and what it alone would decide."""

    value: float
    threshold: Annotated[
        float | None,
        Field(
            description="From the same holdout and for the same max_false_reject as the decision's; null without one."
        ),
    ]
    rejects: Annotated[
        bool | None, Field(description="Whether the value lies beyond the threshold, on the unknown side.")
    ]


class TemperatureScaled(TypedDict):
    temperature: float
    probabilities: dict[str, float]
    noise_probability: float | None


class Conformal(TypedDict):
    classes: dict[str, float]
    none_of_these: float


class Timing(TypedDict):
    batch_size: int
    decode_ms: float
    queue_ms: float
    predict_ms: float


class Decision(TypedDict):
    label: str
    known_label: str
    probabilities: dict[str, float]
    noise_probability: float | None
    temperature_scaled: TemperatureScaled | None
    reject_score: float
    threshold: float | None
    max_false_reject: float
    rejected: bool
    reason: Literal["noise", "low_confidence"] | None
    scores: dict[str, Score]
    conformal: Conformal | None
    calibrated: bool
    note: str | None
    model: ModelName
    timing: Timing


class BatchLine(TypedDict):
    index: int
    name: str | None
    classification: Decision | None
    problem: Problem | None


class FalseReject(TypedDict):
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


class UntrainedNoise(TypedDict):
    families: list[str]
    auroc: float
    scores: dict[str, float]
    rejected: float


class Card(TypedDict):
    test_images: int
    accuracy: float
    temperature: float | None
    calibration_error: dict[str, Any]
    risk_coverage: dict[str, Any]
    false_reject: list[FalseReject]
    families: list[Family]
    untrained_noise: UntrainedNoise | None


class ModelCard(TypedDict):
    model: Model
    spec: dict[str, Any]
    card: Card
