"""What is answered about one image: the decision, and all that speaks for and against it, as JSON."""

from pydantic import Field
from pydantic.config import JsonDict

from noisegate.api.found import Score
from noisegate.decision_rule import RuleReason
from noisegate.documents import Document
from noisegate.rejection import describe_scores
from noisegate.rejection.rule import Reason
from noisegate.rejection.scores import Direction

Probabilities = dict[str, float]


def _describe(schema: JsonDict) -> None:
    """Names the scores there are when the schema is asked for."""
    schema["description"] = f"Scores of the literature, none of which takes part in the decision. {describe_scores()}."


class TemperatureScaled(Document):
    """The probabilities after temperature scaling (Guo et al. 2017): of those near 0.8, about 80 % of known images are right."""

    temperature: float = Field(
        description="Logits are divided by it; fitted on the holdout, or by cross-validation. Above 1: too sure before."
    )
    probabilities: Probabilities
    noise_probability: float | None


class Conformal(Document):
    """Conformal p-values. Small ones speak against their hypothesis: where it holds, at most a share p of images has one ≤ p."""

    classes: Probabilities = Field(
        description="Hypothesis: the image is of this class. From the holdout images of that class, or, cross-validated, its "
        "training images."
    )
    none_of_these: float = Field(
        description="Hypothesis: the image is of the known kinds. By its reject score; small means none of these."
    )


class RuleScoreFound(Document):
    """What one score of the rule says of an image."""

    score: str
    value: float
    higher_means: Direction
    threshold: float = Field(description="Chosen together with those of the rule's other scores.")
    rejects: bool
    reason: RuleReason = Field(description="What a rejection by it is called.")


class Decision(Document):
    """What a model makes of one image."""

    label: str = Field(description="The most probable class; `noise` if that is the noise class.")
    known_label: str = Field(description="The most probable known class.")
    probabilities: Probabilities = Field(
        description="Probability of each known class; with the noise probability they sum to 1. With top_k only of the most "
        "probable, in falling order."
    )
    noise_probability: float | None = Field(description="Null for a model without a noise class.")
    temperature_scaled: TemperatureScaled | None = Field(
        description="Null without a holdout or cross-validation to fit it on."
    )
    reject_score: float = Field(description="1 − the largest known-class probability; higher = more unknown.")
    threshold: float | None = Field(description="Reject scores above it are rejected; null without a calibration.")
    max_false_reject: float = Field(
        description="Largest share of known images to be rejected wrongly, noise on top included; it chose the thresholds, where "
        "there are any. Without one in the query it is 0.05, or the smallest that the model can promise, if that is "
        "larger. Of a model whose promise covers the threshold alone (see its `promise`), noise on top comes on top of it; of one "
        "that is cross-validated, it is what was aimed at."
    )
    rejected: bool = Field(
        description="Whether the reject score is above the threshold or noise is the top class; with a rule, whether one of its "
        "scores rejects or noise is the top class."
    )
    reason: Reason | RuleReason | None = Field(
        description="Why it was rejected: `noise` if that is the top class, else `low_confidence`; with a rule, `unsure` (of the "
        "known kinds, but in doubt) or `unknown` (unlike anything known). null if accepted."
    )
    rule: list[RuleScoreFound] | None = Field(
        None,
        description="The scores that decided, in the order of the rule; left out where the reject score alone decides, as it does "
        "unless a rule is set on the model or asked for.",
        exclude_if=lambda rule: rule is None,
    )
    scores: dict[str, Score] = Field(json_schema_extra=_describe)
    conformal: Conformal | None = Field(description="Null without a holdout or cross-validation.")
    calibrated: bool = Field(description="Whether the model has a threshold.")
    note: str | None = Field(
        description="What a model without a threshold can and cannot reject, and that one with few holdout images promises less "
        "than is usual; null where there is nothing to say."
    )
