"""What an experiment or an upload that has not begun waits for, in words; the service is asked only until it begins."""

from collections.abc import Callable
from itertools import islice

from noisegate.api.answers import ExperimentAnswer, WorkerAnswer
from noisegate.api.dataset_answers import DatasetAnswer
from noisegate.client import Noisegate
from noisegate.client.errors import ClientError
from noisegate.client.flows import PAGE_SIZE
from noisegate.client.progress import ProgressDisplay

_NONE_RUNS = "waiting for a worker: none is running"


def experiment_shown(client: Noisegate, progress: ProgressDisplay) -> Callable[[ExperimentAnswer], None]:
    """Shows an experiment as it goes on, and while it is queued, what keeps the workers from it."""

    def show(experiment: ExperimentAnswer) -> None:
        begun = experiment.state != "queued" or experiment.waits_for
        words = None if begun else _told(lambda: waiting_for_training(client.workers.list()))
        if words is None:
            progress.show_experiment(experiment)
        else:
            progress.show(0.0, words)

    return show


def dataset_shown(client: Noisegate, progress: ProgressDisplay) -> Callable[[DatasetAnswer], None]:
    """Shows an upload as it is read, and before, what keeps the workers from it."""

    def show(dataset: DatasetAnswer) -> None:
        begun = dataset.state != "ingesting" or dataset.images_done
        words = None if begun else _told(lambda: _waiting_for_reading(client, dataset.id))
        if words is None:
            progress.show_dataset(dataset)
        else:
            progress.show(0.0, words)

    return show


def waiting_for_training(workers: list[WorkerAnswer]) -> str:
    """`waiting for a worker: 2 trainings run, in 2 processes`."""
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        return _NONE_RUNS
    held, processes = (sum(counts) for counts in zip(*map(_counts, alive), strict=True))
    running = _plural(held, "training runs", "trainings run")
    return f"waiting for a worker: {running}, in {_plural(processes, 'process', 'processes')}"


def _counts(worker: WorkerAnswer) -> tuple[int, int]:
    return len(worker.executions), worker.processes


def _waiting_for_reading(client: Noisegate, id: str) -> str | None:
    if not any(worker.alive for worker in client.workers.list()):
        return _NONE_RUNS
    newest = islice(client.datasets.list(), PAGE_SIZE)
    others = sum(one.state == "ingesting" and one.id != id for one in newest)
    return (
        f"not begun; {_plural(others, 'other upload waits or is', 'other uploads wait or are')} read"
        if others
        else None
    )


def _plural(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _told(words: Callable[[], str | None]) -> str | None:
    """None where the service does not say: what is waited for is asked again, and waiting does not end for that."""
    try:
        return words()
    except ClientError:
        return None
