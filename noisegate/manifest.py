"""`model.json`: everything about a model but its weights. Written by learning, read by inference, listed by the store."""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from pydantic import Field

from noisegate.decision_rule import DecisionRule
from noisegate.documents import Document, Source
from noisegate.errors import InvalidInput
from noisegate.judgement import Judgement
from noisegate.regularisation import Regularisation
from noisegate.spec import NOISE_CLASS, ExperimentSpec
from noisegate.spec.derived import CropShare, DecodingField, Fitting, InterpolationField, Resize

DEFAULT_MAX_FALSE_REJECT = 0.05

CalibrationSource = Literal["holdout", "cross_validated"]


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


@lru_cache(maxsize=1024)
def _conformal_level(max_false_reject: float, levels: int, samples: int) -> int:
    """The first of `levels` quantiles of n scores that is at least the ⌈(n + 1)(1 − share)⌉-th smallest of them.

    Of n + 1 exchangeable images, the last one lies above that with a probability of at most the share.
    """
    check_budget(max_false_reject)
    rank = math.ceil((samples + 1) * (1 - Fraction(repr(float(max_false_reject)))))
    return min(levels - 1, (levels - 1) * (max(1, rank) - 1) // samples + 1)


@lru_cache(maxsize=1024)
def smallest_promise(called_noise: int, samples: int) -> float:
    """The smallest budget that held-out images can promise, rounded up to four digits. See `Calibration.smallest_promise`."""
    exact = Fraction(called_noise, samples) + Fraction(1, samples + 1)
    return min(1.0, math.ceil(exact * 10_000) / 10_000)


class Calibration(Document):
    """Reject scores of known images that were not trained on, as quantiles, from which a budget chooses the threshold.

    These images are the holdout, or all training images, each scored by a layer that was trained without its fold (`source`);
    of both what follows says holdout.

    `quantiles[i]` is the smallest holdout score that at least i / (len − 1) of the holdout does not exceed. With `called_noise`,
    holdout images with noise on top lie above all others, as the rule rejects them whatever the threshold; then a threshold is
    chosen so that of images like the holdout at most the budget is rejected by the whole rule, noise on top included, in
    expectation over holdouts and images (split conformal prediction; Vovk, Gammerman and Shafer 2005). Without it, as models
    from before have it, at most the budget of the holdout itself lies above the threshold, and noise on top comes on top of it.

    A cross-validated threshold is chosen in the same way, and is no such promise: the scores are of other layers than the one that
    is served, so that it holds as far as layers trained on a part and on all of the images answer alike (docs/scores.md).
    """

    samples: int = Field(
        ge=1, description="Images in the holdout; cross-validated, the training images without the noise."
    )
    quantiles: list[float] = Field(min_length=2, description="Rising; from level 0 to level 1 in equal steps.")
    temperature: float | None = Field(
        None, gt=0, description="Logits divided by it give calibrated probabilities; null for a model older than that."
    )
    called_noise: int | None = Field(
        None,
        ge=0,
        description="Holdout images with noise as the most probable class, which every threshold's promise includes; left out of a "
        "model whose threshold was chosen without them.",
        exclude_if=lambda called_noise: called_noise is None,
    )
    source: CalibrationSource = Field(
        "holdout",
        # Not written where it is the default: models read as they did before there was a choice.
        exclude_if=lambda source: source == "holdout",
        description="cross_validated: each training image scored by a layer that was trained without it. Left out of a model "
        "with a holdout.",
    )

    @property
    def images(self) -> str:
        """What the scores are of, in words for people."""
        if self.source == "cross_validated":
            return f"cross-validation on {self.samples:,} training images"
        return f"{self.samples:,} holdout images"

    @property
    def smallest_promise(self) -> float:
        """The smallest budget that so small a holdout can promise; 0 for a model from before promises covered the whole rule.

        The share called noise, as no threshold accepts those, and 1 / (n + 1), as of n images and a new one any may be the most
        unknown. Rounded up.
        """
        return 0.0 if self.called_noise is None else smallest_promise(self.called_noise, self.samples)

    def promised(self, max_false_reject: float) -> float:
        """This budget, or the smallest that can be promised if that is larger."""
        return max(max_false_reject, self.smallest_promise)

    def level(self, max_false_reject: float, levels: int) -> int:
        """Which of `levels` quantiles of holdout scores, from level 0 to 1 in equal steps, is the threshold of this budget.

        Raises:
            InvalidInput: `max_false_reject` lies outside 0 … 1.
        """
        if self.called_noise is None:
            return level_of(max_false_reject, levels)
        return _conformal_level(max_false_reject, levels, self.samples)

    def threshold(self, max_false_reject: float) -> float:
        """The smallest stored threshold for this budget; reject what scores above it.

        Between two stored levels it is the upper one, which rejects less. Of budgets below `smallest_promise` it is the largest
        threshold there is.

        Raises:
            InvalidInput: `max_false_reject` lies outside 0 … 1.
        """
        return self.quantiles[self.level(max_false_reject, len(self.quantiles))]


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
    interpolation: InterpolationField = "bilinear"
    crop_share: CropShare = 1.0
    decoding: DecodingField = "full"
    classes: list[str] = Field(
        min_length=2, description="Known classes in the order of the logits; without the noise class."
    )
    has_noise_class: bool = Field(description="If so, the noise logit is the last one.")
    calibration: Calibration | None = Field(
        description="Null when the experiment kept no holdout and cross-validated nothing."
    )
    holdout_accuracy: float | None = Field(description="Of the images that `calibration` is made of.")
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
    rule: DecisionRule | None = Field(
        None,
        description="Which scores decide, as chosen when it was trained; left out where that is the reject score alone.",
        exclude_if=lambda rule: rule is None,
    )
    regularisation: Regularisation | None = Field(
        None,
        description="The weight decay that it was trained with, and how it was chosen; left out where the spec gives a number.",
        exclude_if=lambda regularisation: regularisation is None,
    )

    @property
    def fitting(self) -> Fitting:
        """How an image file becomes what the model takes."""
        return Fitting(self.resize, self.interpolation, self.crop_share, self.decoding)

    def budget(self, asked: float | None) -> float:
        """The largest share of known images to be rejected wrongly that decisions are made for.

        Args:
            asked: None for the default, or what the model can promise if that is more.

        Raises:
            InvalidInput: it lies outside 0 … 1, or the holdout is too small to promise it.
        """
        calibration = self.calibration
        if asked is None:
            return calibration.promised(DEFAULT_MAX_FALSE_REJECT) if calibration else DEFAULT_MAX_FALSE_REJECT
        check_budget(asked)
        if calibration and asked < calibration.smallest_promise:
            raise _unpromised(asked, calibration)
        return asked

    @property
    def outputs(self) -> list[str]:
        """The names of all logits."""
        return [*self.classes, NOISE_CLASS] if self.has_noise_class else list(self.classes)


_MORE: dict[CalibrationSource, str] = {"holdout": "a larger holdout", "cross_validated": "more training images"}


def _unpromised(asked: float, calibration: Calibration) -> InvalidInput:
    smallest, noise = calibration.smallest_promise, calibration.called_noise
    why = f"its threshold rests on {calibration.images}"
    remedy = f"Ask for {smallest:g} or more, or train a model with {_MORE[calibration.source]}"
    if noise:
        why += f", {noise:,} of which it calls noise, and those are rejected at any threshold"
        remedy += " or less noise"
    can = "can promise" if calibration.source == "holdout" else "can aim at"
    detail = f"max_false_reject is {asked:g}, and this model {can} no less than {smallest:g}: {why}"
    return InvalidInput(detail, field="max_false_reject", remedy=f"{remedy}.")
