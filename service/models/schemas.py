"""What /models and /aliases read and answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

from noisegate.decision_rule import DecisionRule
from noisegate.documents import Source
from noisegate.judgement import Judgement
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, Calibration, CalibrationSource, Metrics
from noisegate.regularisation import Regularisation
from noisegate.rejection import SCORES
from noisegate.rejection.scores import Direction
from noisegate.store.tables import Alias, Model
from service.schemas import EXACT_SEED, Answer

FileName = Literal["model.safetensors", "model.json", "model.onnx", "reference.safetensors"]


class FileRead(BaseModel):
    """A file of a model, to be checked after the download."""

    sha256: str


class FilesRead(BaseModel):
    """The files of a model: model.safetensors, model.json, model.onnx and reference.safetensors."""

    weights: FileRead
    manifest: FileRead
    onnx: FileRead
    reference: FileRead | None = Field(description="Null for a model without a threshold.")


class PromiseRead(BaseModel):
    """What `max_false_reject` promises of this model, or, where it is cross-validated, what it aims at."""

    source: CalibrationSource = Field(
        description="holdout: images that were kept out of training, which makes `covers` a promise. cross_validated: all training "
        "images, each answered by a layer that was trained without its fold. What `covers` says was then measured in that way, "
        "on layers like the one that is served and not on itself: an expectation."
    )
    covers: Literal["rule", "threshold"] = Field(
        description="rule: of images like the holdout at most that share is rejected, noise on top included. threshold, of models "
        "from before: at most that share of the holdout lies above the threshold, and noise on top comes on top of it."
    )
    holdout_images: int = Field(description="Images that thresholds come from; cross-validated, the training images.")
    called_noise: int | None = Field(
        description="How many of them it calls noise; null where only the threshold is covered."
    )
    smallest_max_false_reject: float = Field(description="Less is refused.")

    @classmethod
    def of(cls, calibration: Calibration) -> "PromiseRead":
        return cls(
            source=calibration.source,
            covers="threshold" if calibration.called_noise is None else "rule",
            holdout_images=calibration.samples,
            called_noise=calibration.called_noise,
            smallest_max_false_reject=calibration.smallest_promise,
        )


class ScoreRead(BaseModel):
    """A score of images, and which way it points."""

    description: str
    higher_means: Direction = Field(description="Whether a higher value speaks for a known or an unknown image.")


_REJECT_SCORE = ScoreRead(description="1 − the largest known-class probability; it decides", higher_means="unknown")


def _scores() -> dict[str, ScoreRead]:
    others = {
        name: ScoreRead(description=score.description, higher_means=score.higher_means)
        for name, score in SCORES.items()
    }
    return {"reject_score": _REJECT_SCORE} | others


class ModelRead(Answer):
    """A model that can be served. What it would know of its training is null where it was not trained here."""

    id: str
    experiment: str
    cell: int
    execution: int
    aliases: list[str]
    network: str
    image_size: int
    classes: list[str]
    has_noise_class: bool
    calibrated: bool = Field(description="Whether it has a threshold; without one it can reject on noise only.")
    default_threshold: float | None = Field(
        description=f"Of the reject score at the default max_false_reject: {DEFAULT_MAX_FALSE_REJECT:g}, or the smallest that it "
        "can promise, if that is larger."
    )
    promise: PromiseRead | None = Field(description="Null without a threshold.")
    rule: DecisionRule | None = Field(
        description="The scores that decide; null for the reject score alone. See /models/{reference}/decision."
    )
    holdout_accuracy: float | None = Field(description="Of the images that `promise` is made of: see its `source`.")
    metrics: Metrics | None
    scores: dict[str, ScoreRead] = Field(
        description="Those that there are, in a decision's answer and on the card. A model from before one was added is served "
        "without it."
    )
    dataset_hash: str | None
    seed: int
    precision: str | None
    source: Source | None = Field(description="Where the weights come from; null for a model trained here.")
    versions: dict[str, str]
    onnx_largest_difference: float
    judgement: Judgement | None = Field(description="Whether it has learnt; null for a model that was never judged.")
    regularisation: Regularisation | None = Field(
        description="The weight decay that cross-validation chose; null where the spec gives a number."
    )
    files: FilesRead
    created_at: datetime

    @computed_field(description=EXACT_SEED)  # type: ignore[prop-decorator]
    @property
    def seed_text(self) -> str:
        return str(self.seed)

    @classmethod
    def of(cls, model: Model, aliases: Sequence[Alias]) -> "ModelRead":
        """The model's answer.

        Args:
            aliases: those of this model, and perhaps of others.

        Raises:
            NewerVersion: its manifest cannot be read.
        """
        calibration = model.manifest.calibration
        return cls.of_row(
            model.manifest,
            id=model.id,
            experiment=model.experiment_id,
            aliases=[alias.name for alias in aliases if alias.model_id == model.id],
            calibrated=calibration is not None,
            default_threshold=calibration.threshold(DEFAULT_MAX_FALSE_REJECT) if calibration else None,
            rule=model.rule,
            promise=PromiseRead.of(calibration) if calibration else None,
            scores=_scores(),
            files=FilesRead(
                weights=FileRead(sha256=model.weights_digest),
                manifest=FileRead(sha256=model.manifest_digest),
                onnx=FileRead(sha256=model.onnx_digest),
                reference=FileRead(sha256=model.reference_digest) if model.reference_digest else None,
            ),
            created_at=model.created_at,
        )


class BudgetRead(BaseModel):
    """What one budget of false rejections costs."""

    max_false_reject: float
    thresholds: dict[str, float] = Field(description="Of each score of the rule, as values of that score.")
    held_out_rejected: float = Field(description="Share of the held-out images that the rule then rejects, 0 … 1.")


class DecisionRead(BaseModel):
    """The rule of a model, and what it can promise."""

    model: str
    rule: DecisionRule | None = Field(
        description="Null for the reject score alone, whose rejections are called low_confidence."
    )
    available: list[str] = Field(description="Scores that a rule of this model may name; empty without a holdout.")
    smallest_max_false_reject: float | None = Field(description="Less is refused; null without a holdout.")
    budgets: list[BudgetRead] = Field(
        description="Of the usual budgets those that it can promise; empty without a holdout."
    )


class AliasTarget(BaseModel):
    """Where an alias shall point."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200, description="Id of a model, or another alias.")


class AliasRead(Answer):
    """A movable name for a model."""

    name: str
    model: str
    updated_at: datetime

    @classmethod
    def of(cls, alias: Alias) -> "AliasRead":
        return cls.of_row(alias, model=alias.model_id)


class AliasList(BaseModel):
    """All aliases by name."""

    items: list[AliasRead]


class CoveragePoint(BaseModel):
    """What one budget of false rejections comes to on the held-out images."""

    max_false_reject: float
    thresholds: dict[str, float] = Field(description="Of each score that decides, as values of that score.")
    coverage: float = Field(description="Share of the held-out images that are accepted, 0 … 1.")
    error: float | None = Field(
        description="Share of the accepted that are classified wrongly; null where none is accepted, and of models from before "
        "this was kept."
    )


class CoverageRead(BaseModel):
    """Coverage and error over budgets, by the images that thresholds come from: never by the test set."""

    model: str
    rule: DecisionRule | None = Field(description="What decides; null for the reject score alone.")
    held_out_images: int
    points: list[CoveragePoint] = Field(
        description="From the smallest budget that can be promised; none without a holdout."
    )
