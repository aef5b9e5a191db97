"""What /results answers."""

from pydantic import BaseModel, Field, JsonValue, computed_field

from noisegate.api.publication import Publication
from noisegate.details import ScoredCounts, SubgroupUsed
from noisegate.judgement import Finding
from noisegate.presets.published import PublishedValues
from noisegate.regularisation import Regularisation
from noisegate.selection import SelectionSummary
from noisegate.store.states import State
from service.results.statistics import CONFIDENCE_LEVEL, Difference, Summary
from service.schemas import EXACT_SEED, Answer, DatasetSummary


class ExperimentSummary(Answer):
    """Whose results these are."""

    id: str
    name: str
    state: State


class Provenance(BaseModel):
    """Where a cell's numbers come from; more than one entry means that its executions ran on different machines."""

    precisions: list[str]
    devices: list[str]
    versions: list[dict[str, str]]
    images_per_second: Summary | None


class ConcernedExecution(BaseModel):
    """An execution that has not learnt, as far as can be told."""

    execution: int = Field(description="Its number within the cell.")
    findings: list[Finding] = Field(min_length=1)


class AgainstControl(BaseModel):
    """A cell that leaves images out, against one that leaves as many others out at random."""

    control: str = Field(description="random, or stratified: as many of each class.")
    cell: int
    difference: Difference | None = Field(
        description="Accuracy of this cell less the control's: above 0, leaving out these images helps more than leaving out any. "
        "Null as long as either has no result."
    )


class Excluded(SelectionSummary):
    """The training images that a cell leaves out."""

    against: list[AgainstControl] = Field(
        description="Cells that differ from it in the control alone; empty for controls themselves, and where none was posted."
    )


class Row(BaseModel):
    """One cell. Shares and probabilities lie in 0 … 1; a measure is null until an execution yields it."""

    cell: int
    point: dict[str, JsonValue]
    label: str = Field(description="The swept values in words, or `all` without a sweep.")
    seeds: list[int] = Field(description="Of the executions that succeeded, in their order.")
    has_noise_class: bool
    executions: int
    n: int = Field(description="Executions that succeeded: the sample.")
    failed: int
    judged: int = Field(description="Of those that succeeded, how many were judged by whether they have learnt.")
    not_learnt: list[ConcernedExecution] = Field(description="Those that have not, and why; by their numbers.")
    accuracy: Summary | None
    confidence: Summary | None
    spuriousness: Summary | None
    true_class_probability: Summary | None
    noise_per_10000: Summary | None
    holdout_accuracy: Summary | None = Field(
        description="Accuracy on the holdout, or with calibration cross_validated on the training images, each by a layer that was "
        "trained without it."
    )
    false_reject: Summary | None
    train_seconds: Summary | None
    difference: Difference | None = Field(
        description="Accuracy against the baseline cell; null in the baseline itself."
    )
    best_model: str | None
    measures: dict[str, Summary] = Field(
        description="What this kind of experiment measures besides; empty for `training`."
    )
    subgroup: SubgroupUsed | None
    excluded: Excluded | None = Field(description="Null where all training images are used, but for the holdout.")
    regularisation: Regularisation | None = Field(
        description="The weight decay that cross-validation chose for the cell, once one of its executions has ended; null where "
        "the spec gives a number."
    )
    published: PublishedValues | None
    provenance: Provenance

    @computed_field(description=EXACT_SEED.replace("The seed as a text", "The seeds as texts"))  # type: ignore[prop-decorator]
    @property
    def seed_texts(self) -> list[str]:
        return list(map(str, self.seeds))


class PresetRead(BaseModel):
    """The preset that an experiment was posted from."""

    name: str
    scale: str
    source: str = Field(description="The table or figure of the paper.")
    published_note: str = Field(description="What separates the published values from what is measured here.")


class BaseExecutionRead(BaseModel):
    """The execution whose answers decided over the subgroups."""

    experiment: str
    cell: int
    execution: int
    state: State
    scored: ScoredCounts | None = Field(description="Null until it has succeeded.")


class Results(BaseModel):
    """A table of the experiment, one row a cell, as far as it has got."""

    experiment: ExperimentSummary
    kind: str
    preset: PresetRead | None
    dataset: DatasetSummary | None = Field(description="Null for kinds that make their own data.")
    seed: int
    base: BaseExecutionRead | None = Field(description="Null without subgroups.")
    published: Publication | None = Field(
        description="What became of the alias `default` when it succeeded; null before, and if it kept no model."
    )
    baseline_cell: int | None = Field(description="Null with a single cell.")
    confidence_level: float = CONFIDENCE_LEVEL
    rows: list[Row]
