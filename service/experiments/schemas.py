"""What /experiments answers. What it reads is noisegate.spec.ExperimentSpec itself, or a preset's name."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainValidator, SerializeAsAny, computed_field
from sqlalchemy.orm import Session

from noisegate.api.problems import Failure
from noisegate.api.publication import Publication
from noisegate.details import Details
from noisegate.manifest import Metrics
from noisegate.presets import catalogue
from noisegate.presets.choices import Choice
from noisegate.spec import ExperimentSpec, parse_spec
from noisegate.spec.labels import label
from noisegate.store.estimates import Estimate
from noisegate.store.experiments import Progress
from noisegate.store.missing import DiskNeed
from noisegate.store.planning import Plan
from noisegate.store.prerequisites import dataset_facts, usable_dataset
from noisegate.store.states import DerivedState, State
from noisegate.store.tables import Cell, Derived, Execution, Experiment
from service.errors import Problem
from service.experiments.examples import EXAMPLES
from service.experiments.planned import DiskRead, EstimateRead, PlanWarning, warnings_of
from service.schemas import AS_STORED, EXACT_SEED, Answer, DatasetSummary

_CHOICE = "What the preset chose for this dataset, and why; null of presets that leave no choice."


class PresetBody(BaseModel):
    """A preset by name. Any field of the spec may stand beside it, and wins."""

    model_config = ConfigDict(extra="allow")

    preset: str = Field(description="GET /presets lists them.")
    scale: catalogue.Scale = catalogue.DEFAULT_SCALE


class Posted(BaseModel):
    """What was posted: the spec, and the preset it came from.

    A preset that chooses by the dataset has chosen nothing yet: `document` is the body, for `noisegate.presets.catalogue.choose`.
    """

    spec: ExperimentSpec
    preset: str | None = None
    scale: str | None = None
    choice: Choice | None = None
    document: dict[str, Any] | None = None

    def for_dataset(self, session: Session) -> "Posted":
        """The same once the preset has chosen.

        Raises:
            InvalidSpec: there is no such dataset, or a field does not go with what was chosen.
            NotReady: the dataset is still being ingested.
        """
        if self.document is None or self.spec.named_dataset is None:
            return self
        facts = dataset_facts(usable_dataset(session, self.spec.named_dataset))
        return Posted(**dict(catalogue.choose(self.document, facts)))


def _parse_posted(document: object) -> Posted:
    if isinstance(document, dict) and "preset" in document:
        expanded = catalogue.expand(document)
        return Posted(**dict(expanded), document=document if catalogue.chooses(document) else None)
    return Posted(spec=parse_spec(document))


# parse_spec rather than pydantic alone: its errors carry paths as they stand in the spec, and remedies.
PostedBody = Annotated[
    Posted,
    PlainValidator(_parse_posted, json_schema_input_type=ExperimentSpec | PresetBody),
    Body(openapi_examples=EXAMPLES),
]


class CellRead(Answer):
    """One cell: its number, and the swept values that make it what it is."""

    cell: int
    point: dict[str, JsonValue]
    label: str = Field(description="The swept values in words.")
    is_base: bool = Field(description="It only trains the execution whose answers decide over the others' subgroups.")
    finished_at: datetime | None = Field(description="When its last execution ended.")

    @classmethod
    def of(cls, cell: Cell) -> "CellRead":
        return cls.of_row(cell, cell=cell.position, label="base" if cell.is_base else label(cell.point))


class Counts(BaseModel):
    """Executions by state."""

    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class AwaitedRead(Answer):
    """An artefact that is made of the dataset before anything can be trained on it."""

    id: str
    kind: str = Field(description="view: its images at another size. features: what a backbone computes of them.")
    state: DerivedState
    images_done: int
    images: int | None = Field(description="To be done; null until a worker has begun.")

    @classmethod
    def of(cls, row: Derived) -> "AwaitedRead":
        return cls.of_row(row, images_done=row.done, images=row.total)


class ExperimentRead(Answer):
    """An experiment and how far it is."""

    id: str
    name: str
    state: State
    preset: str | None = Field(description="The preset that it was posted from.")
    scale: str | None
    choice: SerializeAsAny[Annotated[Choice, AS_STORED]] | None = Field(description=_CHOICE)
    dataset: DatasetSummary | None = Field(description="Null for kinds that make their own data.")
    spec: SerializeAsAny[Annotated[ExperimentSpec, AS_STORED]]
    cells: list[CellRead]
    counts: Counts
    executions: int = Field(description="Of all cells together.")
    epochs: int = Field(description="Of all executions together.")
    epochs_done: int = Field(description="Trained; of executions that failed or were cancelled, as far as they came.")
    progress: float = Field(
        ge=0,
        le=1,
        description="Share of all epochs that are done, or were not needed as their execution stopped early. Below 1 at the end if "
        "executions failed or were cancelled.",
    )
    waits_for: list[AwaitedRead] = Field(
        description="What is to be made of the dataset before executions can start, in this order. Any worker makes it."
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    estimated_finish: datetime | None = Field(description="At the pace so far; null until an epoch is done.")
    time_limit: float | None = Field(
        description="Seconds from the start of its first execution after which it is cancelled if it has not ended."
    )
    deadline: datetime | None = Field(description="When that is; null without a time limit, and until it starts.")
    error: Problem | None = Field(
        description="Why it was cancelled, if not by a person; else why the first execution failed that did."
    )
    published: Publication | None = Field(
        description="What became of the alias `default` when it succeeded; null before, and if it kept no model."
    )

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        progress: Progress,
        awaited: Iterable[Derived],
        error: Failure | None,
        published: Publication | None,
    ) -> "ExperimentRead":
        return cls.of_row(
            experiment,
            cells=[CellRead.of(cell) for cell in experiment.cells],
            counts={state.value: count for state, count in progress.counts.items()},
            executions=sum(progress.counts.values()),
            epochs=progress.epochs,
            epochs_done=progress.epochs_done,
            progress=progress.share_done,
            waits_for=[AwaitedRead.of(row) for row in awaited],
            estimated_finish=estimated_finish(experiment, progress.share_over),
            deadline=None if experiment.deadline is None else datetime.fromtimestamp(experiment.deadline, UTC),
            error=error,
            published=published,
        )


def estimated_finish(experiment: Experiment, share_over: float) -> datetime | None:
    """When a running experiment ends if it goes on at the pace that it had when it was last heard of.

    Not at the pace by now: an answer that moves with the clock could never be a 304.
    """
    started, heard = experiment.started_at, experiment.updated_at
    if experiment.state is not State.RUNNING or started is None or heard is None or not 0 < share_over < 1:
        return None
    try:
        return heard + (heard - started) * ((1 - share_over) / share_over)
    except OverflowError:
        return None  # after the year 9999


class PlannedCell(BaseModel):
    """What one execution of a cell would process."""

    cell: int
    point: dict[str, JsonValue]
    label: str
    noise_images: int = Field(description="Noise images in each epoch.")
    training_images: int = Field(
        description="Training images, or points, of one execution, noise included, over all epochs."
    )


class PlanRead(BaseModel):
    """What an experiment would come to; nothing was created."""

    preset: str | None
    scale: str | None
    choice: Choice | None = Field(description=_CHOICE)
    spec: SerializeAsAny[ExperimentSpec] = Field(description="What would be carried out, with all that was chosen.")
    dataset: DatasetSummary | None
    cells: list[PlannedCell]
    cell_count: int
    base: bool = Field(description="Whether one more execution is trained first, to decide over the subgroups.")
    executions: int = Field(description="Of all cells together, that of the base included.")
    training_images: int = Field(description="Of all executions of all cells, over all epochs.")
    warnings: list[PlanWarning] = Field(description="What would be done as asked, and probably is not what was meant.")
    estimate: EstimateRead
    disk: DiskRead | None = Field(description="Null where nothing is made of the images first, or all of it is there.")

    @classmethod
    def of(cls, posted: Posted, plan: Plan, estimate: Estimate, need: DiskNeed, time_limit: float | None) -> "PlanRead":
        cells = [
            PlannedCell(
                cell=number,
                point=point.point,
                label=label(point.point),
                noise_images=plan.noise_images(point.spec),
                training_images=plan.training_images(point.spec),
            )
            for number, point in enumerate(plan.cells)
        ]
        return cls(
            preset=posted.preset,
            scale=posted.scale,
            choice=posted.choice,
            spec=posted.spec,
            dataset=DatasetSummary.model_validate(plan.dataset) if plan.dataset else None,
            cells=cells,
            cell_count=len(cells),
            base=plan.base_cell is not None,
            executions=plan.executions,
            training_images=plan.total_training_images,
            warnings=list(warnings_of(plan, estimate, time_limit)),
            estimate=EstimateRead.of(estimate),
            disk=DiskRead.of(need),
        )


class ExecutionRead(Answer):
    """One training run."""

    id: str
    cell: int
    execution: int = Field(description="Its number within the cell.")
    point: dict[str, JsonValue]
    seed: int
    state: State
    depends_on: str | None = Field(description="The execution that must succeed before this one starts.")
    attempt: int = Field(description="How often a worker has started it.")
    epochs: int = Field(description="To train at most.")
    epochs_done: int = Field(
        description="Fewer than `epochs` of an execution that succeeded: its recipe stopped early. Of one that was cancelled or "
        "failed: as far as it came."
    )
    checkpoint_epochs: int = Field(description="Epochs that another worker need not repeat.")
    images_per_second: float | None
    metrics: SerializeAsAny[Annotated[Metrics, AS_STORED]] | None = Field(
        description="Table 1; null for kinds without a test set."
    )
    details: SerializeAsAny[Annotated[Details, AS_STORED]] | None = Field(description="What its kind yields besides.")
    holdout_accuracy: float | None
    losses_by_epoch: list[float] | None
    train_seconds: float | None
    precision: str | None
    device: str | None
    versions: dict[str, str] | None
    worker: str | None
    error: Problem | None
    started_at: datetime | None
    finished_at: datetime | None

    @computed_field(description=EXACT_SEED)  # type: ignore[prop-decorator]
    @property
    def seed_text(self) -> str:
        return str(self.seed)

    @classmethod
    def of(cls, execution: Execution) -> "ExecutionRead":
        return cls.of_row(
            execution,
            cell=execution.cell.position,
            execution=execution.position,
            point=execution.cell.point,
            worker=execution.owner,
        )
