"""What should become of experiments, in plain dictionaries: the one model that the lifecycle is tested against."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from noisegate.api.problems import Failure
from noisegate.store.leases import Lease
from noisegate.store.tables import Execution as Row

EXECUTION_FAILED = Failure(code="unexpected", title="Something went wrong", detail="x")

ENDED = {"succeeded", "failed", "cancelled"}


@dataclass
class Execution:
    experiment: str
    cell: str
    order: tuple[int, int]
    epochs: int
    depends_on: str | None
    state: str = "queued"
    holder: str = ""
    attempt: int = 0
    losses: int = 0
    epochs_done: int = 0
    checkpoint: int = 0


@dataclass
class Experiment:
    state: str = "queued"
    events: list[str] = field(default_factory=lambda: ["queued"])


class Model:
    """Every call says what is to be answered, and changes the state as the service should."""

    def __init__(self, max_losses: int) -> None:
        self.max_losses = max_losses
        self.experiments: dict[str, Experiment] = {}
        self.executions: dict[str, Execution] = {}

    def post(self, id: str, rows: Sequence[Row]) -> None:
        self.experiments[id] = Experiment()
        cells = {row.cell_id: place for place, row in enumerate(rows) if row.position == 0}
        for row in rows:
            order = (row.position, cells[row.cell_id])
            self.executions[row.id] = Execution(id, row.cell_id, order, row.epochs, row.depends_on)

    def claim(self, owner: str, capacity: int) -> list[str]:
        free = [(row.experiment, row.order, id) for id, row in self.executions.items() if self._claimable(row)]
        if not free:
            return []
        _, _, first = min(free)
        cell = self.executions[first].cell
        beside = sorted(place for place in free if self.executions[place[2]].cell == cell)
        ids = [id for _, _, id in beside][:capacity]
        for id in ids:
            row = self.executions[id]
            row.state, row.holder, row.attempt, row.epochs_done = "running", owner, row.attempt + 1, row.checkpoint
        self._started(self.executions[first].experiment)
        return ids

    def holds(self, lease: Lease) -> bool:
        row = self.executions.get(lease.id)
        return row is not None and (row.state, row.holder, row.attempt) == ("running", lease.owner, lease.attempt)

    def held_by(self, worker: str) -> list[str]:
        return [id for id, row in self.executions.items() if row.state == "running" and row.holder[0] == worker]

    def end(self, id: str, outcome: str) -> None:
        row = self.executions[id]
        if outcome == "released":
            if self.experiments[row.experiment].state == "cancelling":
                self._finish(row, "cancelled")
            else:
                row.state, row.epochs_done = "queued", row.checkpoint
        else:
            self._finish(row, outcome)

    def lose(self, id: str) -> None:
        row = self.executions[id]
        row.losses += 1
        if self.experiments[row.experiment].state == "cancelling":
            self._finish(row, "cancelled")
        elif row.losses >= self.max_losses:
            self._finish(row, "failed")
        else:
            row.state, row.epochs_done = "queued", row.checkpoint

    def renew(self, id: str, epoch: int) -> bool:
        self.executions[id].epochs_done = epoch
        return self.experiments[self.executions[id].experiment].state != "cancelling"

    def cancel(self, id: str) -> int:
        """The status of the answer."""
        if (experiment := self.experiments.get(id)) is None:
            return 404
        if experiment.state in ("succeeded", "failed"):
            return 409
        if experiment.state not in ("cancelling", "cancelled"):
            experiment.state = "cancelling"
            experiment.events.append("cancelling")
            for row in self._of(id):
                if row.state == "queued":
                    row.state = "cancelled"
            self._settle(id)
        return 202

    def expire(self, id: str) -> list[str]:
        """The experiments that are cancelled because their deadline has passed."""
        if self.experiments[id].state not in ("queued", "running"):
            return []
        self.cancel(id)
        return [id]

    def delete(self, id: str, *, dry_run: bool) -> int:
        """The status of the answer."""
        if id not in self.experiments:
            return 404
        if self.experiments[id].state not in ENDED:
            return 409
        if not dry_run:
            del self.experiments[id]
            self.executions = {key: row for key, row in self.executions.items() if row.experiment != id}
        return 200

    def states(self) -> dict[str, str]:
        return {id: experiment.state for id, experiment in self.experiments.items()}

    def counts(self, id: str) -> dict[str, int]:
        return dict(Counter(row.state for row in self._of(id)))

    def rows(self, id: str) -> dict[str, tuple[str, int, int]]:
        """State, attempt and epochs done of each execution."""
        return {
            key: (row.state, row.attempt, row.epochs if row.state == "succeeded" else row.epochs_done)
            for key, row in self.executions.items()
            if row.experiment == id
        }

    def events(self, id: str) -> list[str]:
        return self.experiments[id].events

    def _claimable(self, row: Execution) -> bool:
        ready = row.depends_on is None or self.executions[row.depends_on].state == "succeeded"
        return row.state == "queued" and ready

    def _of(self, id: str) -> list[Execution]:
        return [row for row in self.executions.values() if row.experiment == id]

    def _started(self, id: str) -> None:
        if self.experiments[id].state == "queued":
            self.experiments[id].state = "running"
            self.experiments[id].events.append("started")

    def _finish(self, row: Execution, state: str) -> None:
        row.state = state
        events = self.experiments[row.experiment].events
        open_before = self._open_cells(row.experiment) | {row.cell}
        events.append("execution_finished")
        events += ["cell_finished"] * len(open_before - self._open_cells(row.experiment))
        self._settle(row.experiment)

    def _settle(self, id: str) -> None:
        experiment, rows = self.experiments[id], self._of(id)
        for row in rows:
            if row.state == "queued" and row.depends_on and self.executions[row.depends_on].state == "failed":
                row.state = "failed"
        if any(row.state not in ENDED for row in rows):
            return
        states = {row.state for row in rows}
        experiment.state = next((state for state in ("failed", "cancelled") if state in states), "succeeded")
        cells = len({row.cell for row in rows})
        experiment.events += ["cell_finished"] * (cells - experiment.events.count("cell_finished"))
        experiment.events.append("finished")

    def _open_cells(self, id: str) -> set[str]:
        return {row.cell for row in self._of(id) if row.state not in ENDED}
