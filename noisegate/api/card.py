"""A model's card: how it does on known images and on kinds of images it was not made for. Written by learning, served as JSON.

Shares, probabilities, risks, coverages and AUROCs all lie in 0 … 1; pages may show them in percent. Higher reject score =
more unknown. The test set is only ever measured on: every threshold and the temperature come from the holdout.
"""

from typing import Annotated, Literal

from pydantic import Field

from noisegate.decision_rule import DecisionRule
from noisegate.documents import Document

BUDGETS = (0.01, 0.02, 0.05, 0.10, 0.20)

Share = Annotated[float, Field(ge=0, le=1)]
FamilyGroup = Literal["noise", "images", "natural_structure"]
ScoreMeans = Annotated[
    dict[str, Share],
    Field(description="By the names of a decision's `scores`; without one that is not finite for some image."),
]


class ReliabilityBin(Document):
    """The test images whose top probability lies in one of 15 bins of equal width; each bin includes its upper end."""

    count: int = Field(ge=0)
    confidence: Share | None = Field(description="Mean probability of the top output; null for an empty bin.")
    accuracy: Share | None = Field(description="Share whose top output is their own class; null for an empty bin.")


class Reliability(Document):
    """How far probabilities are from frequencies on the test set, over all outputs, noise included."""

    error: Share = Field(
        description="Expected calibration error: |confidence − accuracy| of the bins, weighted by their counts."
    )
    bins: list[ReliabilityBin] = Field(min_length=1, description="From probability 0 to 1.")


class CalibrationError(Document):
    """Reliability as trained, and with logits divided by the temperature."""

    before: Reliability
    after: Reliability | None = Field(
        description="Null without a temperature, which only a holdout or cross-validation gives."
    )


class RiskPoint(Document):
    """What accepting the least rejected test images, down to some score, comes to."""

    coverage: Share = Field(description="Share of the test images that are accepted.")
    risk: Share = Field(description="Share of the accepted that are wrong; an image called noise is wrong.")


class RiskCoverage(Document):
    """Risk against coverage on the test set, images ordered by reject score, or by the rule that decides (Geifman
    and El-Yaniv 2017)."""

    aurc: Share = Field(
        description="Area under the curve: the mean, over k = 1 … n, of the share wrong among the k least rejected test "
        "images. Where images of one score would be parted, it is the expectation over their random order."
    )
    curve: list[RiskPoint] = Field(
        min_length=1,
        max_length=101,
        description="For each whole percent, the smallest coverage that reaches it; images of one score are accepted "
        "together, so with many alike there are fewer points. The first has the smallest coverage above 0 there is.",
    )


class FalseReject(Document):
    """The share of test images rejected at the threshold for a budget, which the holdout chose."""

    max_false_reject: Share = Field(
        description="What was promised, or aimed at by cross-validation (the model's promise says which): of images like those "
        "that thresholds come from at most this share is rejected, noise on top included. Of cards from before promises covered "
        "the whole rule: at most this share of the holdout lies above the threshold."
    )
    threshold: float | None = Field(
        description="Of the reject score, from the holdout or cross-validation; what scores above it is rejected. Null where "
        "another rule decides, whose thresholds GET /models/{id}/decision tells."
    )
    rejected: Share = Field(description="Share of the test images that are rejected, noise on top included.")
    low: Share = Field(description="Lower end of the 95 % confidence interval of `rejected` (Wilson's score interval).")
    high: Share = Field(
        description="Upper end of it. Both say what so few test images leave open, with this threshold."
    )


class BudgetShare(Document):
    """The share rejected at the threshold of one budget."""

    max_false_reject: Share
    rejected: Share


class FamilyResult(Document):
    """Images of one kind that belongs to no class, and what the model makes of them.

    AUROC is the chance that such an image is more unknown, by a score, than a test image; alike counts half. 0.5 is what
    guessing gives; below, the score takes them for better known than the test images. All measures are null or empty if
    the network's answer to one of the images is not finite.
    """

    name: str
    title: str = Field(description="The kind of images in plain words.")
    group: FamilyGroup = Field(
        description="noise: no image of anything. images: pictures of another kind. natural_structure: test images, "
        "changed, which may still show their class."
    )
    trained: bool = Field(
        description="The model was trained on images of this family, as noise or as a class of its own."
    )
    images: int = Field(ge=1)
    auroc: Share | None = Field(description="Of the reject score, against all test images.")
    scores: ScoreMeans = Field(description="AUROC of the other scores, each turned so that higher means more unknown.")
    rejected: Share | None = Field(
        description="Share rejected at the default threshold; without one, those with noise on top."
    )
    rejected_as_noise: Share | None = Field(description="Share with noise on top; 0 without a noise class.")
    rejected_at: list[BudgetShare] = Field(description="Empty without a threshold.")


class UntrainedNoise(Document):
    """Means over the families of noise that the model was not trained on and answered with finite numbers.

    Not trained on does not mean unrelated: blobs and checkerboards, say, have relatives in structured noise.
    """

    families: list[str] = Field(min_length=1, description="Their names; each counts the same.")
    auroc: Share
    scores: ScoreMeans
    rejected: Share = Field(description="At the default threshold, as in `families`.")


class Card(Document):
    """What `make_card` measured of one model."""

    format: Literal["noisegate-card-1"] = "noisegate-card-1"
    test_images: int = Field(ge=1)
    accuracy: Share = Field(description="Share of the test images classified as their own class; noise is wrong.")
    temperature: float | None = Field(gt=0, description="What logits are divided by; null without a threshold.")
    calibration_error: CalibrationError
    risk_coverage: RiskCoverage
    false_reject: list[FalseReject] = Field(
        description="One a budget, rising, as far as they can be promised; empty without a threshold."
    )
    families: list[FamilyResult]
    untrained_noise: UntrainedNoise | None = Field(description="Null if there is no such family.")
    rule: DecisionRule | None = Field(
        None,
        exclude_if=lambda rule: rule is None,
        description="Which scores decide what is rejected in all of this; left out where that is the reject score alone. `auroc` "
        "is of the reject score all the same.",
    )
