"""`model.json`: everything about a model but its weights. Written by learning, read by inference, listed by the store."""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from pydantic import Field

from noisegate.documents import Document, Source
from noisegate.errors import InvalidInput
from noisegate.judgement import Judgement
from noisegate.spec import NOISE_CLASS, ExperimentSpec
from noisegate.spec.derived import Resize

DEFAULT_MAX_FALSE_REJECT = 0.05


def check_budget(max_false_reject: float) -> None:
    """Raise InvalidInput unless `max_false_reject` is a share, 0 … 1."""
    if not 0 <= max_false_reject <= 1:
        raise InvalidInput(
            f"max_false_reject is {max_false_reject:g}, which is no share",
            field="max_false_reject",
            remedy="Give a number from 0 (reject no known image) to 1.",
        )


@lru_cache(maxsize=1024)
def level_of(max_false_reject: float, levels: int) -> int:
    """Which of `levels` quantiles, from level 0 to level 1 in equal steps, rejects at most this share; between two the upper.

    Raises:
        InvalidInput: `max_false_reject` lies outside 0 … 1.
    """
    check_budget(max_false_reject)
    # The share as it was written, 0.05 being 1/20: in binary, (1 − 0.05) · 1000 may come out as 950.0000000000001,
    # whose ceiling is one level too high.
    share = Fraction(repr(float(max_false_reject)))
    return math.ceil((1 - share) * (levels - 1))


class Calibration(Document):
    """Reject scores of the holdout, as quantiles.

    `quantiles[i]` is the smallest holdout reject score that at least i / (len − 1) of the holdout does not exceed, so
    rejecting what lies above `quantiles[i]` rejects at most a share 1 − i / (len − 1) of the holdout.
    """

    samples: int = Field(ge=1, description="Images in the holdout.")
    quantiles: list[float] = Field(min_length=2, description="Rising; from level 0 to level 1 in equal steps.")
    temperature: float | None = Field(
        None, gt=0, description="Logits divided by it give calibrated probabilities; null for a model older than that."
    )

    def threshold(self, max_false_reject: float) -> float:
        """The smallest stored threshold that rejects at most this share of the holdout; reject what scores above it.

        Between two stored levels it is the upper one, which rejects less.

        Raises:
            InvalidInput: `max_false_reject` lies outside 0 … 1.
        """
        return self.quantiles[level_of(max_false_reject, len(self.quantiles))]


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
    """The whole of `model.json`. A model that was not trained here knows nothing of its training: those fields are null."""

    format: Literal["noisegate-model-1"] = "noisegate-model-1"
    network: str
    image_size: int = Field(description="Pixels a side of the square that every image becomes.")
    resize: Resize = Field(
        "stretch",
        exclude_if=lambda resize: resize == "stretch",
        description="How it becomes that square; left out where it is stretched, also where those who trained the model cut out "
        "the centre, so that the accuracy they publish is not quite what is served here.",
    )
    classes: list[str] = Field(
        min_length=2, description="Known classes in the order of the logits; without the noise class."
    )
    has_noise_class: bool = Field(description="If so, the noise logit is the last one.")
    calibration: Calibration | None = Field(description="Null when the experiment kept no holdout.")
    holdout_accuracy: float | None
    metrics: Metrics | None = Field(description="On the dataset's test set.")
    dataset_hash: str | None
    spec: ExperimentSpec = Field(description="The cell's spec, without a sweep.")
    cell: int = Field(ge=0)
    execution: int = Field(ge=0)
    seed: int
    precision: Literal["bfloat16", "float32"] | None = Field(description="Of the training; weights are float32.")
    device: str | None
    source: Source | None = Field(None, description="Where the weights come from; null for a model trained here.")
    versions: dict[str, str]
    onnx_largest_difference: float = Field(
        ge=0, description="Largest |logit| difference between ONNX Runtime and PyTorch at export."
    )
    judgement: Judgement | None = Field(
        None,
        description="Whether it has learnt; left out of models that were never judged: those from before judgements, and those "
        "that were not trained here.",
        exclude_if=lambda judgement: judgement is None,
    )

    @property
    def outputs(self) -> list[str]:
        """The names of all logits."""
        return [*self.classes, NOISE_CLASS] if self.has_noise_class else list(self.classes)
