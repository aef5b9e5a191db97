"""What a runner is: how the executions of one kind of experiment are run by the process that has claimed them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from noisegate.learning.training import Progress
from noisegate.spec import ExperimentBase
from noisegate.store.settings import Settings
from noisegate.store.tables import Dataset, Execution
from worker.checkpoints import Checkpoints
from worker.recording import FinishedExecution
from worker.resources import Resources

Spec = TypeVar("Spec", bound=ExperimentBase)

# Makes the result of one execution. Called when its turn to be recorded has come: exporting takes time and memory.
Finish = Callable[[], FinishedExecution]


@dataclass(frozen=True)
class Work(Generic[Spec]):
    """Executions of one cell that this process holds.

    Attributes:
        check: to be called between steps; whatever it raises must pass through.
        note: to be called after every epoch of every execution, by kinds that have epochs.
    """

    resources: Resources
    executions: Sequence[Execution]
    spec: Spec
    check: Callable[[], None]
    note: Callable[[Progress], None]
    checkpoints: Checkpoints


def one_at_a_time(settings: Settings, spec: ExperimentBase, dataset: Dataset | None, most: int) -> int:  # noqa: ARG001
    """How many executions a claim takes of a kind that needs no GPU."""
    return 1


@dataclass(frozen=True)
class Runner(Generic[Spec]):
    """How executions of a kind are run.

    Attributes:
        run: yields each execution once it has been run, with what makes its result.
        at_once: how many executions of a cell this process can run together, at most the number given; it claims as many.
    """

    run: Callable[[Work[Spec]], Iterator[tuple[Execution, Finish]]]
    at_once: Callable[[Settings, Spec, Dataset | None, int], int] = one_at_a_time


def one_by_one(run_one: Callable[[Work[Spec], Execution], FinishedExecution]) -> Runner[Spec]:
    """The runner of a kind whose executions have nothing in common that is worth sharing."""

    def run(work: Work[Spec]) -> Iterator[tuple[Execution, Finish]]:
        yield from ((execution, partial(run_one, work, execution)) for execution in work.executions)

    return Runner(run)
