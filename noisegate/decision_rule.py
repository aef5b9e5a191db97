"""Which scores decide over an image, as JSON: of a model, of its manifest, and of a single request."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from noisegate.documents import Document, Strict, wrong_field

RuleReason = Literal["unsure", "unknown"]

# 1 − the largest known-class probability: what decides where no rule is set.
REJECT_SCORE = "reject_score"


class RuleScore(Strict):
    """One score of a rule. It rejects what it finds more unknown than its threshold."""

    score: str = Field(min_length=1, max_length=100, description="`reject_score`, or one of a decision's `scores`.")
    reason: RuleReason | None = Field(
        None,
        description="What a rejection by it is called: unsure (of the known kinds, but in doubt) or unknown (unlike anything "
        "known). null is what suits the score.",
    )


class DecisionRule(Strict):
    """An image is rejected if noise is its most probable class, or if a score finds it too unknown.

    The thresholds of both scores are chosen together, so that `max_false_reject` covers the whole rule, noise included.
    """

    # JSON has no tuples: a list is what comes.
    scores: Annotated[tuple[RuleScore, ...], Field(strict=False)] = Field(
        min_length=1, max_length=2, description="Where both reject an image, the first one's reason is told."
    )

    @model_validator(mode="after")
    def _differ(self) -> "DecisionRule":
        if len(set(self.names)) < len(self.names):
            raise wrong_field("scores", self.names, f"names {self.names[0]} twice", "Name each score once.")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of its scores, in order."""
        return tuple(one.score for one in self.scores)

    @classmethod
    def of(cls, *scores: str) -> "DecisionRule":
        """The rule by these scores, each with the reason that suits it."""
        return cls(scores=tuple(RuleScore(score=score) for score in scores))


class RuleTried(Document):
    """One rule that could have decided."""

    scores: list[str]
    auroc: float = Field(
        ge=0,
        le=1,
        description="How well it tells declared unknown images from the holdout; the mean over their datasets.",
    )


class RuleChoice(Document):
    """Which rule was chosen for a model, and what the choice rests on."""

    scores: list[str] = Field(description="Of the rule that decides.")
    held_out_images: int
    unknown_images: int = Field(description="Declared unknown images, of all datasets.")
    tried: list[RuleTried] = Field(description="Every score by itself, and the best pairs, best first.")
