"""What an experiment would come to, checked against datasets and caps; and its rows, created all at once."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.errors import FieldError, InvalidSpec
from noisegate.presets.choices import Choice
from noisegate.rejection.fitted_rule import unknown_scores
from noisegate.seeds import derive_seed
from noisegate.selection import Selection
from noisegate.spec import FORMAT, DatasetFacts, ExperimentSpec
from noisegate.spec.caps import Caps, check_caps
from noisegate.spec.derived import Needed
from noisegate.spec.sweeps import CellPoint, cells_of
from noisegate.store import derived, events
from noisegate.store.events import EventType
from noisegate.store.prerequisites import base_execution, base_facts, check_base_view, dataset_facts, usable_dataset
from noisegate.store.states import DerivedState
from noisegate.store.tables import Cell, CellDataset, Dataset, Derived, Execution, Experiment


@dataclass(frozen=True)
class Plan:
    """What an experiment would come to.

    `others` are the other datasets that each cell reads, by the path of the field that names them; `selections` are the training
    images that each leaves out.

    Subgroups are chosen by a base: an execution of an earlier experiment (`earlier_base`), the first one of a cell of this
    experiment (`base_position`), or the only one of an additional cell (`base_cell`, whose position is len(cells)).
    """

    spec: ExperimentSpec
    dataset: Dataset | None
    cells: list[CellPoint]
    others: tuple[dict[str, Dataset], ...] = ()
    base_cell: ExperimentSpec | None = None
    base_position: int | None = None
    earlier_base: Execution | None = None
    selections: tuple[Selection | None, ...] = ()

    @property
    def specs(self) -> list[ExperimentSpec]:
        """Of every cell by position, the additional base cell included."""
        return [point.spec for point in self.cells] + ([self.base_cell] if self.base_cell else [])

    @property
    def executions(self) -> int:
        return len(self.cells) * self.spec.executions + (self.base_cell is not None)

    @property
    def dataset_facts(self) -> DatasetFacts | None:
        return dataset_facts(self.dataset) if self.dataset else None

    def training_images(self, spec: ExperimentSpec) -> int:
        """Training images, or points, that one execution of a cell processes, noise included, over all its epochs."""
        return spec.training_images(self.dataset_facts)

    def noise_images(self, spec: ExperimentSpec) -> int:
        """Noise images of a cell in each epoch."""
        return spec.noise_images(self.dataset_facts)

    def needed(self, spec: ExperimentSpec) -> Needed | None:
        """The derived artefact that the executions of a cell read; None if they need none."""
        return spec.needed(self.dataset_facts)

    def others_of(self, position: int) -> dict[str, Dataset]:
        """Other datasets that the cell at a position reads; an additional base cell reads those of the first."""
        return self.others[position if position < len(self.others) else 0] if self.others else {}

    def artefacts(self) -> Iterator[tuple[Dataset, Needed]]:
        """The derived artefacts that cells read, each with the dataset that it is made of: the cell's, or another that it reads."""
        for position, spec in enumerate(self.specs):
            for dataset in (self.dataset, *self.others_of(position).values()):
                if dataset and (needed := spec.needed(dataset_facts(dataset))):
                    yield dataset, needed

    @property
    def format(self) -> int:
        """The newest format among its specs: workers that know no newer one than an older leave all of it alone.

        Workers of the first format know nothing of derived artefacts either, and would not wait for them.
        """
        return max(FORMAT if self.needed(spec) else spec.format for spec in self.specs)

    @property
    def total_training_images(self) -> int:
        cells = self.spec.executions * sum(self.training_images(point.spec) for point in self.cells)
        return cells + (self.training_images(self.base_cell) if self.base_cell else 0)


# The training images that the cell at a position leaves out, on a dataset.
Select = Callable[[ExperimentSpec, Dataset, int], Selection]


def plan(session: Session, spec: ExperimentSpec, caps: Caps, select: Select | None = None) -> Plan:
    """Resolve a spec against the datasets that are there and the caps.

    Args:
        select: asked for cells that leave training images out by what an earlier experiment recorded.

    Raises:
        InvalidSpec: a field is wrong, over a cap, or names a dataset or base that does not exist or does not fit.
        NotReady: the dataset is still being ingested, or the base has not ended.
    """
    check_caps(spec, caps)
    points = cells_of(spec)
    for point in points:
        check_caps(point.spec, caps)
    dataset = usable_dataset(session, spec.named_dataset) if spec.named_dataset is not None else None
    facts = dataset_facts(dataset) if dataset else None
    needs_base = any(point.spec.needs_base for point in points)
    earlier = None
    if spec.named_base is not None:
        if not needs_base:
            raise InvalidSpec([FieldError("base", "is used by no cell", "Give a subgroup, or leave the base out.")])
        earlier = base_execution(session, spec.named_base, dataset)
        check_base_view(earlier, [point.spec for point in points], facts)
    _check_rule(spec)
    for point in points:
        point.spec.check(facts, caps, base_facts(earlier) if earlier else None)
    others = tuple(_others(session, point.spec, dataset) for point in points)
    selections = tuple(_selected(point.spec, dataset, number, select) for number, point in enumerate(points))
    planned = Plan(spec, dataset, points, others, earlier_base=earlier, selections=selections)
    return _with_own_base(planned) if needs_base and earlier is None else planned


def _check_rule(spec: ExperimentSpec) -> None:
    """Refuse a decision rule of scores that there are not, which a spec does not know."""
    rule = spec.asked_rule
    if errors := [FieldError("rule", *said) for said in (unknown_scores(rule) if rule else ())]:
        raise InvalidSpec(errors)


def create(
    session: Session,
    planned: Plan,
    *,
    preset: str | None = None,
    scale: str | None = None,
    choice: Choice | None = None,
    time_limit: float | None = None,
    traceparent: str | None = None,
) -> Experiment:
    """The experiment's row and, queued, those of all its cells and executions.

    Args:
        choice: what the preset chose for the dataset.
        time_limit: seconds from the start of its first execution, after which it is cancelled if it has not ended.
        traceparent: the span that it is posted in.
    """
    spec = planned.spec
    experiment = Experiment(
        name=spec.name or _default_name(planned, preset),
        spec=spec,
        format=planned.format,
        dataset_id=planned.dataset.id if planned.dataset else None,
        preset=preset,
        scale=scale,
        choice=choice,
        time_limit=time_limit,
        traceparent=traceparent,
    )
    for number, point in enumerate(planned.cells):
        selection = planned.selections[number] if planned.selections else None
        experiment.cells.append(Cell(position=number, point=point.point, spec=point.spec, selection=selection))
    if planned.base_cell is not None:
        experiment.cells.append(Cell(position=len(planned.cells), point={}, spec=planned.base_cell, is_base=True))
    missing = _bind_artefacts(session, experiment, planned)
    session.add(experiment)
    session.flush()
    _create_executions(session, experiment, planned, missing)
    events.append(session, experiment, EventType.QUEUED, executions=planned.executions)
    return experiment


def _selected(spec: ExperimentSpec, dataset: Dataset | None, position: int, select: Select | None) -> Selection | None:
    if not spec.selects_images:
        return None
    assert dataset is not None, "images are left out of a dataset"
    assert select is not None, "who plans experiments that leave images out knows how to choose them"
    return select(spec, dataset, position)


def _others(session: Session, spec: ExperimentSpec, dataset: Dataset | None) -> dict[str, Dataset]:
    """The other datasets that a cell reads, fit for use."""
    found = {field: usable_dataset(session, name, field) for field, name in spec.other_datasets.items()}
    if not found:
        return found
    assert dataset is not None, "other datasets are read beside the one that is trained on"
    for field, other in found.items():
        if other.content_hash == dataset.content_hash:
            message = f"is dataset {dataset.name!r}, which is trained on"
            raise InvalidSpec([FieldError(field, message, "Name another one.")])
    spec.check_others(dataset_facts(dataset), {field: dataset_facts(other) for field, other in found.items()})
    return found


def _with_own_base(planned: Plan) -> Plan:
    wanted = planned.spec.base_spec()
    assert wanted is not None, "a kind that needs a base says what it trains"
    alike = next((number for number, point in enumerate(planned.cells) if point.spec == wanted), None)
    return replace(planned, base_position=alike, base_cell=wanted if alike is None else None)


def _bind_artefacts(session: Session, experiment: Experiment, planned: Plan) -> set[str]:
    """Name in each cell what it reads; returns the ids of those that are not ready."""
    # By dataset, in one order, so that two transactions that want the same rows cannot deadlock.
    wanted: dict[str, set[Needed]] = {}
    datasets: dict[str, Dataset] = {}
    for dataset, needed in planned.artefacts():
        datasets[dataset.id] = dataset
        wanted.setdefault(dataset.id, set()).add(needed)
    rows = {id: derived.ensure(session, datasets[id], wanted[id]) for id in sorted(wanted)}
    for cell in experiment.cells:
        _name_artefacts(cell, planned, rows)
    return {row.id for some in rows.values() for row in some.values() if row.state is not DerivedState.READY}


def _name_artefacts(cell: Cell, planned: Plan, rows: Mapping[str, Mapping[Needed, Derived]]) -> None:
    if planned.dataset and (needed := planned.needed(cell.spec)):
        cell.needs = rows[planned.dataset.id][needed].id
    for field, other in planned.others_of(cell.position).items():
        of_other = cell.spec.needed(dataset_facts(other))
        needs = rows[other.id][of_other].id if of_other else None
        cell.others.append(CellDataset(field=field, dataset_id=other.id, needs=needs))


def _create_executions(session: Session, experiment: Experiment, planned: Plan, missing: Collection[str]) -> None:
    base_at = len(planned.cells) if planned.base_cell else planned.base_position
    base_id = planned.earlier_base.id if planned.earlier_base else None
    if base_at is not None:
        # First, as the others name it.
        base = Execution(**_execution(planned, experiment.cells[base_at], 0, None, missing))
        session.add(base)
        session.flush()
        base_id = base.id
    rows = [
        _execution(planned, cell, index, base_id, missing)
        for cell in experiment.cells
        for index in range(0 if cell.position != base_at else 1, 1 if cell.is_base else planned.spec.executions)
    ]
    if rows:
        # As plain rows: there may be ten thousand, and SQLite has one writer at a time.
        session.execute(sa.insert(Execution), rows)


def _execution(planned: Plan, cell: Cell, index: int, base_id: str | None, missing: Collection[str]) -> dict[str, Any]:
    spec = planned.specs[cell.position]
    # Asked of the plan first: of a cell without them the database would be asked.
    others = cell.others if planned.others_of(cell.position) else ()
    needs = (cell.needs, *(other.needs for other in others))
    waits_for = next((one for one in needs if one in missing), None)
    return {
        "experiment_id": cell.experiment_id,
        "cell_id": cell.id,
        "position": index,
        # Within an experiment every cell gets its first execution before any gets its second, so that a table fills evenly.
        "place": index * len(planned.specs) + cell.position,
        "seed": derive_seed(spec.seed, "execution", cell.position, index),
        "epochs": spec.epochs_per_execution or 1,
        "depends_on": base_id if spec.needs_base else None,
        "waits_for": waits_for,
        "held": waits_for is not None,
    }


def _default_name(planned: Plan, preset: str | None) -> str:
    what = preset or (planned.dataset.name[:150] if planned.dataset else planned.spec.kind.replace("_", " "))
    return f"{what}: {len(planned.cells)} cell{'s' if len(planned.cells) != 1 else ''}"
