"""What /results answers."""

from pydantic import BaseModel, Field, JsonValue

from noisegate.store.states import State
from service.results.statistics import CONFIDENCE_LEVEL, Difference, Summary
from service.schemas import Answer, DatasetSummary


class ExperimentSummary(Answer):
    """Whose results these are."""

    id: str
    name: str
    state: State


class Row(BaseModel):
    """One cell. Shares and probabilities lie in 0 … 1; a measure is null until an execution yields it."""

    cell: int
    point: dict[str, JsonValue]
    label: str = Field(description="The swept values in words, or `all` without a sweep.")
    has_noise_class: bool
    executions: int
    n: int = Field(description="Executions that succeeded: the sample.")
    failed: int
    accuracy: Summary | None
    confidence: Summary | None
    spuriousness: Summary | None
    true_class_probability: Summary | None
    noise_per_10000: Summary | None
    holdout_accuracy: Summary | None
    false_reject: Summary | None
    train_seconds: Summary | None
    difference: Difference | None = Field(
        description="Accuracy against the baseline cell; null in the baseline itself."
    )
    best_model: str | None


class Results(BaseModel):
    """A table of the experiment, one row a cell, as far as it has got."""

    experiment: ExperimentSummary
    dataset: DatasetSummary
    baseline_cell: int | None = Field(description="Null with a single cell.")
    confidence_level: float = CONFIDENCE_LEVEL
    rows: list[Row]
