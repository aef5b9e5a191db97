"""What the routes of samples answer."""

from pydantic import BaseModel, Field

from noisegate.api.samples import TableFacts
from noisegate.spec.reasons import Reason


class SampleRead(BaseModel):
    """A training image. Means are over the executions that were trained on it; null where nothing is known."""

    image: int = Field(description="Its id: its place among the dataset's training images.")
    picture: str = Field(description="Path of the image as it was packed.")
    name: str | None = Field(description="The path that it came under.")
    label: str
    suggested: str = Field(description="The class that fits best; the label where no other does.")
    value: float | None = Field(
        description="0 … 1: the label's probability by what the executions learnt and by the other images, as a mean of log "
        "odds. Low: probably mislabelled, or misleading (docs/sample-value.md)."
    )
    reasons: list[Reason] = Field(description="Why it may be worth a look.")
    executions: int = Field(description="How many were trained on it.")
    probability: float | None = Field(
        description="Mean probability of the label over the epochs: easy images have a high one."
    )
    spread_epochs: float | None = Field(
        description="Its standard deviation over the epochs of an execution: ambiguous images have a high one."
    )
    spread_executions: float | None = Field(description="Standard deviation of `probability` over executions.")
    correct: float | None = Field(description="Share of epochs in which it was classified correctly.")
    forgotten: float | None = Field(description="How often it was right in one epoch and wrong in the next.")
    aum: float | None = Field(description="Area under the margin: the mean margin over the epochs, in logits.")
    el2n: float | None = Field(description="Norm of the error early in training, 0 … 1.41.")
    above_noise: float | None = Field(description="How far aum lies above that of 99 % of the noise images.")
    out_of_sample: float | None = Field(
        description="Mean probability of the label by executions that were not trained on it."
    )
    label_quality: float | None = Field(description="cleanlab's: the probability of the label, 0 … 1.")
    confidence: float | None = Field(description="The probability of the suggested class, by the same executions.")
    neighbour_distance: float | None = Field(description="Mean cosine distance to its ten nearest neighbours, 0 … 2.")
    # Tables that were made before there were these do not have them.
    neighbour_agreement: float | None = Field(
        None, description="Share of its 20 nearest neighbours that have its label, each by its cosine, 0 … 1."
    )
    left_out: float | None = Field(
        None,
        description="Probability of the label by a linear layer on the same features that was fitted to all other images.",
    )
    exact_copy_of: int | None = Field(description="An earlier training image with the same pixels.")
    near_copy_of: int | None = Field(description="An earlier training image that is the same picture.")
    other_class_copy: int | None = Field(
        description="An image of another class that is the same picture; test images follow the training images."
    )
    test_copy: int | None = Field(description="A test image that is the same picture; counted likewise.")
    darkest: float | None = Field(description="The 5th of hundred luminances, 0 … 1.")
    brightest: float | None = Field(description="The 99th of hundred luminances, 0 … 1.")
    bits: float | None = Field(description="Entropy of the luminances, 0 … 8.")
    sharpness: float | None = Field(description="Variance of the edges at 64 pixels; null of smaller images.")
    aspect: float | None = Field(description="The longer side over the shorter.")


class SamplePage(BaseModel):
    """Training images, the lowest value first."""

    about: TableFacts
    reasons: dict[Reason, int] = Field(
        description="How many training images have each reason, whatever is asked for here."
    )
    total: int = Field(description="Images that were asked for, on all pages.")
    items: list[SampleRead]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")
