"""The states, and every move between them. Every move of a row is checked here."""

from collections.abc import Collection
from enum import StrEnum


class State(StrEnum):
    """Of an experiment, and (without `cancelling`) of an execution."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


class DatasetState(StrEnum):
    INGESTING = "ingesting"
    READY = "ready"
    FAILED = "failed"


class DerivedState(StrEnum):
    """Of an artefact that is made of a dataset. A failed one waits again when it is next asked for."""

    WAITING = "waiting"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

EXPERIMENT_MOVES = {
    # To failed at once: what all of its executions waited for could not be made.
    State.QUEUED: {State.RUNNING, State.CANCELLING, State.CANCELLED, State.FAILED},
    State.RUNNING: {State.CANCELLING, State.SUCCEEDED, State.FAILED},
    State.CANCELLING: {State.CANCELLED, State.SUCCEEDED, State.FAILED},
    State.SUCCEEDED: set[State](),
    State.FAILED: set[State](),
    State.CANCELLED: set[State](),
}

EXECUTION_MOVES = {
    State.QUEUED: {State.RUNNING, State.CANCELLED},
    # Back to queued: the lease was lost, or the worker gave it back because it is shutting down.
    State.RUNNING: {State.QUEUED, State.SUCCEEDED, State.FAILED, State.CANCELLED},
    State.SUCCEEDED: set[State](),
    State.FAILED: set[State](),
    State.CANCELLED: set[State](),
}


def settled_state(current: State, executions: Collection[State]) -> State:
    """The state of an experiment that is in `current` and whose executions are in these states.

    It ends when all of them have: as failed if any failed, as cancelled if any was cancelled, else as succeeded. A
    cancellation that came too late to stop anything changes nothing.
    """
    if current.terminal:
        return current
    present = set(executions)
    if present <= TERMINAL:
        for outcome in (State.FAILED, State.CANCELLED):
            if outcome in present:
                return outcome
        return State.SUCCEEDED
    started = present - {State.QUEUED}
    return State.RUNNING if current is State.QUEUED and started else current
