"""`model.json`: everything about a model but its weights. Written by learning, read by inference, listed by the store."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from noisegate.spec import NOISE_CLASS, ExperimentSpec


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Calibration(Document):
    """Reject scores of the holdout, as quantiles.

    `quantiles[i]` is the smallest holdout reject score that at least i / (len − 1) of the holdout does not exceed, so
    rejecting what lies above `quantiles[i]` rejects at most a share 1 − i / (len − 1) of the holdout.
    """

    samples: int = Field(ge=1, description="Images in the holdout.")
    quantiles: list[float] = Field(min_length=2, description="Rising; from level 0 to level 1 in equal steps.")


class Metrics(Document):
    """Table 1 of the paper for one execution, over the whole test set. Null where no test image qualifies.

    Shares and probabilities lie in 0 … 1.
    """

    test_images: int = Field(ge=1)
    accuracy: float = Field(
        ge=0, le=1, description="A: share classified as their own class; an image called noise is wrong."
    )
    confidence: float | None = Field(description="Pc: mean largest probability of the correctly classified.")
    spuriousness: float | None = Field(description="Ps: mean largest probability of the misclassified.")
    true_class_probability: float | None = Field(
        description="Pg: mean probability of the true class, of the misclassified."
    )
    noise_per_10000: float = Field(ge=0, description="N: test images classified as noise, per 10,000.")
    false_reject: float | None = Field(
        description="Share of test images rejected at the default threshold; null without one."
    )


class ModelManifest(Document):
    """The whole of `model.json`."""

    format: Literal["noisegate-model-1"] = "noisegate-model-1"
    network: str
    image_size: int
    classes: list[str] = Field(
        min_length=2, description="Known classes in the order of the logits; without the noise class."
    )
    has_noise_class: bool = Field(description="If so, the noise logit is the last one.")
    calibration: Calibration | None = Field(description="Null when the experiment kept no holdout.")
    holdout_accuracy: float | None
    metrics: Metrics
    dataset_hash: str
    spec: ExperimentSpec = Field(description="The cell's spec, without a sweep.")
    cell: int = Field(ge=0)
    execution: int = Field(ge=0)
    seed: int
    precision: Literal["bfloat16", "float32"]
    device: str
    versions: dict[str, str]
    onnx_largest_difference: float = Field(
        ge=0, description="Largest |logit| difference between ONNX Runtime and PyTorch at export."
    )

    @property
    def outputs(self) -> list[str]:
        """The names of all logits."""
        return [*self.classes, NOISE_CLASS] if self.has_noise_class else list(self.classes)
