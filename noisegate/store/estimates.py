"""How long an experiment will take, from what has been done here before: like experiments, views and features.

Of experiments that succeeded, all from the first claim to the end counts (noise images, exports and cards too), divided by the
training images that they processed. They are alike if kind, network, recipe and image size are. What is to be made of the
dataset first is told by the pace at which such artefacts were made. Nothing is said of what waits before it.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from noisegate.spec import ExperimentBase
from noisegate.spec.derived import DerivedSpec, Features, View
from noisegate.store.json_columns import Unreadable
from noisegate.store.missing import missing_artefacts
from noisegate.store.planning import Plan
from noisegate.store.prerequisites import dataset_facts
from noisegate.store.states import DerivedState, State
from noisegate.store.tables import Cell, Dataset, Derived, Experiment

# Newest experiments, and artefacts, that are looked at.
_RECENT = 50

# What makes two experiments, or two artefacts, take alike long for each image.
_Kind = tuple[object, ...]


@dataclass(frozen=True)
class Estimate:
    """How long it will take once it is its turn.

    Attributes:
        seconds: None if nothing like it has been done here.
        preparing_seconds: of them, for views and features that are not there yet.
        experiments: how many like ones it is learnt from.
        unknown: what has never been done here; empty if `seconds` is known.
    """

    seconds: float | None
    preparing_seconds: float
    experiments: int
    unknown: Sequence[str]


def estimate(session: Session, planned: Plan) -> Estimate:
    """How long a planned experiment will take on this installation."""
    rates = _training_rates(session)
    training, unknown, learnt_from = 0.0, [], 0
    for spec, executions in _work(planned):
        images, kind = executions * planned.training_images(spec), spec.pace
        if kind in rates:
            training += images * statistics.median(rates[kind])
            learnt_from = max(learnt_from, len(rates[kind]))
        else:
            unknown.append(_told(spec.pace))
    preparing, not_made = _preparing(session, planned)
    unknown = sorted({*unknown, *not_made})
    return Estimate(None if unknown else training + preparing, preparing, learnt_from, unknown)


def _work(planned: Plan) -> Iterator[tuple[ExperimentBase, int]]:
    """The spec of each cell, and how many executions it has."""
    yield from ((point.spec, planned.spec.executions) for point in planned.cells)
    if planned.base_cell is not None:
        yield planned.base_cell, 1


def _told(pace: Sequence[str]) -> str:
    kind, *how = pace
    return f"{kind} ({', '.join(how)})" if how else f"the kind {kind}"


def _training_rates(session: Session) -> dict[_Kind, list[float]]:
    """Seconds for each training image, by what was trained; of experiments that trained one thing only."""
    query = sa.select(Experiment).where(Experiment.state == State.SUCCEEDED, Experiment.started_at.is_not(None))
    query = query.order_by(Experiment.id.desc()).limit(_RECENT)
    rates: dict[_Kind, list[float]] = {}
    for experiment in session.scalars(query.options(selectinload(Experiment.cells), selectinload(Experiment.dataset))):
        specs = [cell.spec for cell in experiment.cells]
        if any(isinstance(spec, Unreadable) for spec in (experiment.spec, *specs)):
            continue  # a newer version wrote it
        kinds = {spec.pace for spec in specs}
        images = _images_of(experiment.dataset, experiment.cells, experiment.spec.executions)
        if len(kinds) == 1 and images:
            seconds = _seconds(experiment.started_at, experiment.finished_at)
            rates.setdefault(kinds.pop(), []).append(seconds / images)
    return rates


def _images_of(dataset: Dataset | None, cells: Iterable[Cell], executions: int) -> int:
    facts = dataset_facts(dataset) if dataset else None
    return sum((1 if cell.is_base else executions) * cell.spec.training_images(facts) for cell in cells)


def _preparing(session: Session, planned: Plan) -> tuple[float, list[str]]:
    """Seconds for what is to be made of datasets' images first, and what of it has never been made here."""
    missing = missing_artefacts(session, planned)
    rates = _making_rates(session) if missing else {}
    seconds, unknown = 0.0, []
    for one in missing:
        source = one.needed.follows_from
        kind = _kind_made(one.needed.parameters, source.parameters if source else None)
        if kind in rates:
            seconds += one.images * statistics.median(rates[kind])
        else:
            unknown.append(one.told)
    return seconds, unknown


def _making_rates(session: Session) -> dict[_Kind, list[float]]:
    """Seconds for each image, by what was made."""
    query = sa.select(Derived).where(Derived.state == DerivedState.READY, Derived.total > 0)
    query = query.order_by(Derived.id.desc()).limit(_RECENT).options(selectinload(Derived.parent))
    rates: dict[_Kind, list[float]] = {}
    for row in session.scalars(query):
        parent = row.parent
        if row.total and not any(isinstance(one.parameters, Unreadable) for one in (row, parent) if one):
            # Made one after the other; both rows are there from the beginning.
            since = max(row.created_at, parent.finished_at) if parent and parent.finished_at else row.created_at
            kind = _kind_made(row.parameters, parent.parameters if parent else None)
            rates.setdefault(kind, []).append(_seconds(since, row.finished_at) / row.total)
    return rates


def _kind_made(made: DerivedSpec, of: DerivedSpec | None) -> _Kind:
    """Images as they were packed have no size here: they need one that is the same for all."""
    return (*_described(made), *(_described(of) if of else ()))


def _described(made: DerivedSpec) -> _Kind:
    if isinstance(made, View):
        return (made.kind, made.image_size)
    return (made.kind, made.backbone, made.upto) if isinstance(made, Features) else (made.kind,)


def _seconds(since: datetime | None, until: datetime | None) -> float:
    assert since is not None
    assert until is not None, "what has ended has a time of it"
    return (until - since).total_seconds()
