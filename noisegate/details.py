"""What an execution yields besides Table 1's metrics: the JSON of `executions.details`. Written by workers, read by results."""

from pydantic import AliasChoices, Field, JsonValue

from noisegate.documents import Document
from noisegate.judgement import Judgement
from noisegate.regularisation import Regularisation


class SubgroupUsed(Document):
    """The training images that a cell with a subgroup used; null where a control chose at random."""

    size: int = Field(ge=1, description="Training images, an image counted as often as it was drawn.")
    # Stored as it was called before, so that older versions can read what this one wrote; answers have the name that says it.
    duplicates: int = Field(
        ge=0,
        validation_alias=AliasChoices("duplicates", "repeated_draws"),
        serialization_alias="repeated_draws",
        description="How many of these draws took an image of the dataset that had been drawn already. It says nothing about "
        "images that look alike: those are images of their own.",
    )
    correct: int | None = Field(description="Taken as the correctly classified part (lc or hc).")
    wrong: int | None = Field(description="Taken as the misclassified part (ls or hs).")
    classes: dict[str, int] = Field(description="Images of each class, counted likewise.")


class ScoredCounts(Document):
    """What a base execution makes of the whole training set."""

    correct: int = Field(ge=0, description="Training images that it classifies correctly.")
    wrong: int = Field(ge=0, description="Training images that it misclassifies.")


class EarlyStopping(Document):
    """What a recipe that stops early saw on the holdout."""

    best_epoch: int = Field(ge=1, description="Whose weights are kept, counted from 1: the first with the lowest loss.")
    holdout_losses: list[float | None] = Field(
        description="Mean log loss on the holdout after each epoch that was trained; null where it was not finite."
    )


class Details(Document):
    """Everything but the metrics; empty for a plain training run."""

    subgroup: SubgroupUsed | None = None
    scored: ScoredCounts | None = None
    measures: dict[str, float | None] = Field({}, description="Numbers of the kind, averaged over executions.")
    figure: dict[str, JsonValue] = Field({}, description="What the kind's figure is drawn from.")
    early_stopping: EarlyStopping | None = Field(
        None,
        description="Left out where the recipe does not stop early.",
        exclude_if=lambda early_stopping: early_stopping is None,
    )
    judgement: Judgement | None = Field(
        None,
        description="Whether it has learnt; left out for kinds that train no classifier, and of executions before judgements.",
        exclude_if=lambda judgement: judgement is None,
    )
    regularisation: Regularisation | None = Field(
        None,
        description="The weight decay that was chosen for the cell; left out where none was.",
        exclude_if=lambda regularisation: regularisation is None,
    )
