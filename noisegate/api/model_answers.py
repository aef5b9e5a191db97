"""The answers of /models and /aliases; see `noisegate.api.answers`."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from noisegate.api.answers import FindingAnswer, RegularisationAnswer
from noisegate.api.base import Answer, Open


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
    seed_text: str | None = None
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


class CoveragePointAnswer(Answer):
    """What one budget of false rejections comes to on the held-out images."""

    max_false_reject: float
    thresholds: dict[str, float]
    coverage: float
    error: float | None


class CoverageAnswer(Answer):
    """How many held-out images each budget accepts, and how many of those are wrong."""

    model: str
    rule: DecisionRuleAnswer | None
    held_out_images: int
    points: list[CoveragePointAnswer]
