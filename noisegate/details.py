"""What an execution yields besides Table 1's metrics: the JSON of `executions.details`. Written by workers, read by results."""

from typing import Any, cast

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import CoreSchema

from noisegate.decision_rule import RuleChoice
from noisegate.documents import Document
from noisegate.judgement import Judgement
from noisegate.open_set import OpenSetFound
from noisegate.regularisation import Regularisation

_REPEATED_DRAWS = {
    "type": "integer",
    "minimum": 0,
    "description": "How many of the draws took an image of the dataset that had been drawn already. It says nothing about "
    "images that look alike: those are images of their own.",
}


class SubgroupUsed(Document):
    """The training images that a cell with a subgroup used; null where a control chose at random."""

    size: int = Field(ge=1, description="Training images, an image counted as often as it was drawn.")
    duplicates: int = Field(ge=0, description="The old name of `repeated_draws`.")
    correct: int | None = Field(description="Taken as the correctly classified part (lc or hc).")
    wrong: int | None = Field(description="Taken as the misclassified part (ls or hs).")
    classes: dict[str, int] = Field(description="Images of each class, counted likewise.")

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Answers, which are written by alias, say it by its new name too; stored JSON does not, for older versions to read."""
        written: dict[str, Any] = write(self)
        return written | {"repeated_draws": self.duplicates} if info.by_alias else written

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # A serializer says nothing of what it writes: the schema is that of the fields, and what is written besides.
        shown = handler(cast(CoreSchema, {key: value for key, value in schema.items() if key != "serialization"}))
        handler.resolve_ref_schema(shown)["properties"]["repeated_draws"] = _REPEATED_DRAWS
        return shown


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
    open_set: OpenSetFound | None = Field(
        None,
        description="How well each score tells known from unknown images; left out of kinds that do not ask.",
        exclude_if=lambda open_set: open_set is None,
    )
    rule_choice: RuleChoice | None = Field(
        None,
        description="How the scores that decide were chosen; left out where no unknown images were declared.",
        exclude_if=lambda choice: choice is None,
    )
    regularisation: Regularisation | None = Field(
        None,
        description="The weight decay that was chosen for the cell; left out where none was.",
        exclude_if=lambda regularisation: regularisation is None,
    )
