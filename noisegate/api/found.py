"""A decision as it is made for each image of a request: plain dictionaries, for the path that has no time to lose."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from noisegate.decision_rule import RuleReason

RejectionReason = Literal["noise", "low_confidence"] | RuleReason


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


class ScaledProbabilities(TypedDict):
    temperature: float
    probabilities: dict[str, float]
    noise_probability: float | None


class ConformalValues(TypedDict):
    classes: dict[str, float]
    none_of_these: float


class ScoreOfRule(TypedDict):
    score: str
    value: float
    higher_means: Literal["known", "unknown"]
    threshold: float
    rejects: bool
    reason: RuleReason


class RuleFound(TypedDict):
    rule: NotRequired[list[ScoreOfRule]]  # where a rule decides


class BriefFound(TypedDict):
    """A decision on one image and the numbers that it was made of; `probabilities` of the known classes, in their order."""

    label: str
    probability: float
    rejected: bool
    reason: RejectionReason | None
    probabilities: list[float]
    noise_probability: float | None
    reject_score: float
    threshold: float | None
    max_false_reject: float


class DecisionFound(RuleFound):
    """A decision on one image, whole but for the model and the timing of an answer."""

    label: str
    known_label: str
    probabilities: dict[str, float]
    noise_probability: float | None
    temperature_scaled: ScaledProbabilities | None
    reject_score: float
    threshold: float | None
    max_false_reject: float
    rejected: bool
    reason: RejectionReason | None
    scores: dict[str, Score]
    conformal: ConformalValues | None
    calibrated: bool
    note: str | None


Found = DecisionFound | BriefFound
