"""What must hold after every fault, once everything has ended."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.spec import ExperimentSpec
from noisegate.store import executions, experiments
from noisegate.store.events import EventType
from noisegate.store.states import State
from noisegate.store.tables import Base, Dataset, Derived, Event, Execution, Experiment, Model
from tests.faults import witnesses
from tests.faults.processes import until
from tests.faults.system import System

# An archive goes once it has been ingested; its digest stays in the row, to know the same upload by.
_NAMES_NO_FILE = {Dataset.__table__.c.upload_digest}


@dataclass
class Findings:
    """lost: executions without an accepted result; doubled: those with more than one; broken: what else does not hold."""

    lost: int = 0
    doubled: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        return not (self.lost or self.doubled or self.broken)


Result = dict[str, Any]


class References:
    """What undisturbed runs give: each spec is run once, before any fault, and kept."""

    def __init__(self) -> None:
        self._known: dict[str, dict[tuple[int, int], Result]] = {}

    def learn(self, system: System, spec: ExperimentSpec) -> None:
        """Run this spec on `system`, unless that was done before; a worker runs and nothing disturbs it."""
        if _key(spec.model_dump(mode="json")) in self._known:
            return
        id = system.post(spec)
        system.wait_for_the_end([id])
        self.keep(system, id)

    def keep(self, system: System, experiment_id: str) -> None:
        """Take this experiment's results for those of an undisturbed run."""
        with system.sessions.reading() as session:
            experiment = experiments.get(session, experiment_id)
            assert experiment.state is State.SUCCEEDED, "an undisturbed run succeeds"
            self._known[_key(experiment.spec.model_dump(mode="json"))] = _results(session, experiment_id)

    def of(self, experiment: Experiment) -> dict[tuple[int, int], Result] | None:
        """The results by (cell, execution); None for a spec that was never run undisturbed."""
        return self._known.get(_key(experiment.spec.model_dump(mode="json")))


def check(system: System, experiment_ids: Sequence[str], references: References, *, patience: float = 30) -> Findings:
    """Look at everything these experiments left. Every execution of theirs has ended.

    Args:
        patience: seconds until files without a row, which a kill may leave, must have been swept.
    """
    found = Findings()
    with system.sessions.reading() as session:
        for id in experiment_ids:
            experiment = experiments.get(session, id)
            rows = executions.of_experiment(session, id)
            found.broken += _ended(experiment, rows)
            found.broken += _told(session, experiment, rows)
            if (expected := references.of(experiment)) is not None:
                found.broken += _same(_results(session, id), expected, id)
        _count_acceptances(session, experiment_ids, found)
        found.broken += _nothing_held(session)
    found.broken += _files(system, patience)
    return found


def _ended(experiment: Experiment, rows: Sequence[Execution]) -> Iterator[str]:
    if experiment.state is not State.SUCCEEDED:
        yield f"{experiment.id} has {experiment.state.value}"
    spec, cells = experiment.spec, len(experiment.cells)
    numbers = Counter((row.cell_id, row.position) for row in rows)
    if set(numbers.values()) != {1} or len(rows) != cells * spec.executions:
        yield f"{experiment.id} has {len(rows)} rows for {cells} cells of {spec.executions}"
    yield from (f"{row.id} has {row.state.value}: {row.error}" for row in rows if row.state is not State.SUCCEEDED)
    yield from (f"{row.id} keeps a checkpoint" for row in rows if row.checkpoint_digest)


def _told(session: Session, experiment: Experiment, rows: Sequence[Execution]) -> Iterator[str]:
    """The events: without gaps, one end of every execution, the end of the experiment once and last."""
    query = sa.select(Event).where(Event.experiment_id == experiment.id).order_by(Event.number)
    told = session.scalars(query).all()
    if [event.number for event in told] != list(range(1, experiment.last_event + 1)):
        yield f"{experiment.id} has events {[event.number for event in told]}, and says {experiment.last_event}"
    finished = [event.number for event in told if event.type == EventType.FINISHED]
    if finished != [len(told)]:
        yield f"{experiment.id} finished in its events {finished} of {len(told)}"
    cells = {cell.id: cell.position for cell in experiment.cells}
    expected = Counter((cells[row.cell_id], row.position, row.state.value) for row in rows)
    ends = [event.data for event in told if event.type == EventType.EXECUTION_FINISHED]
    if Counter((end["cell"], end["execution"], end["state"]) for end in ends) != expected:
        yield f"{experiment.id} tells of the ends {ends}"


def _count_acceptances(session: Session, experiment_ids: Sequence[str], found: Findings) -> None:
    """By what the triggers noted, not by what the code under test says."""
    ids = session.scalars(sa.select(Execution.id).where(Execution.experiment_id.in_(experiment_ids))).all()
    times = Counter(id for id, _, _ in witnesses.accepted(session.connection()))
    found.lost = sum(times[id] == 0 for id in ids)
    found.doubled = sum(times[id] > 1 for id in ids)
    grants = Counter((id, attempt) for id, attempt, _ in witnesses.granted(session.connection()))
    found.broken += [f"{id} was granted twice as attempt {n}" for (id, n), times in grants.items() if times > 1]


def _nothing_held(session: Session) -> Iterator[str]:
    """No row anywhere waits, runs or is held."""
    for table in (Experiment, Execution):
        waiting = sa.select(table.id, table.state).where(
            table.state.in_([State.QUEUED, State.RUNNING, State.CANCELLING])
        )
        yield from (f"{id} is {state.value}" for id, state in session.execute(waiting))
    for leased in (Execution, Dataset, Derived):
        held = session.scalars(sa.select(leased.id).where(leased.lease_until.is_not(None)))
        yield from (f"{id} is held" for id in held)


def _results(session: Session, experiment_id: str) -> dict[tuple[int, int], Result]:
    """Everything that follows from the seed, by cell and execution; no times."""
    models = sa.select(Model).where(Model.experiment_id == experiment_id)
    weights = {model.execution_id: model.weights_digest for model in session.scalars(models)}
    cells = {cell.id: cell.position for cell in experiments.get(session, experiment_id).cells}
    return {
        (cells[row.cell_id], row.position): {
            "metrics": row.metrics,
            "losses": row.losses_by_epoch,
            "details": row.details,
            "holdout_accuracy": row.holdout_accuracy,
            "weights": weights.get(row.id),
        }
        for row in executions.of_experiment(session, experiment_id)
    }


def _same(
    found: dict[tuple[int, int], Result], expected: dict[tuple[int, int], Result], experiment_id: str
) -> Iterator[str]:
    for place in sorted(expected.keys() | found.keys()):
        ours, calm = found.get(place, {}), expected.get(place, {})
        if differing := [name for name in calm.keys() | ours.keys() if ours.get(name) != calm.get(name)]:
            yield f"{experiment_id} differs in {sorted(differing)} of (cell, execution) {place} from an undisturbed run"


def _files(system: System, patience: float) -> list[str]:
    """No file without a row, once what a kill left has been swept, and no row without its file."""
    missing = [f"{digest} is named by {where} and has no file" for digest, where in _named(system, _lacks_file(system))]
    try:
        until(lambda: not _nameless(system), "every file has a row", seconds=patience)
    except TimeoutError:
        missing += [f"{digest} has a file and no row" for digest in sorted(_nameless(system))]
    return missing


def _lacks_file(system: System) -> Callable[[str], bool]:
    return lambda digest: not system.artefacts.path(digest).is_file()


def _nameless(system: System) -> set[str]:
    files = {path.name for path in (system.artefacts.root / "sha256").glob("*/*") if path.is_file()}
    return files - {digest for digest, _ in _named(system, lambda _: True, every_column=True)}


def _named(system: System, wanted: Callable[[str], bool], *, every_column: bool = False) -> Iterator[tuple[str, str]]:
    """Each digest that a row names, and where."""
    columns = [c for table in Base.metadata.tables.values() for c in table.c if c.name.endswith("_digest")]
    with system.sessions.reading() as session:
        for column in columns:
            if not every_column and column in _NAMES_NO_FILE:
                continue
            for digest in session.scalars(sa.select(column).where(column.is_not(None))):
                if wanted(digest):
                    yield digest, str(column)


def _key(spec: dict[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True)
