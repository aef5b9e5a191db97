"""Progress as it happens: a live bar in a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from noisegate.api.answers import AwaitedAnswer, ExperimentAnswer
from noisegate.api.dataset_answers import DatasetAnswer
from noisegate.client.resources.experiments import ENDED

# A file hears of the progress at every tenth, and at least this often.
LINE_SHARE = 0.1
LINE_SECONDS = 30.0


class ProgressDisplay:
    """Shows a share of 0 … 1 with a few words, from `__enter__` to `__exit__`."""

    def __init__(self, console: Console, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._title = title
        self._clock = clock
        self._last_line: tuple[float, float, str] | None = None  # share, time, words
        self._live = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[words]}"),
                console=console,
            )
            if console.is_terminal
            else None
        )
        self._task = self._live.add_task(title, total=1.0, words="") if self._live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, share: float, words: str, *, ended: bool = False) -> None:
        """Now `share` is done; `words` say more. What has ended is told, whatever share of it was done."""
        if self._live and self._task is not None:
            self._live.update(self._task, completed=share, words=words)
        elif self._line_is_due(share, words, ended):
            self._console.print(f"{self._title} {share:4.0%}  {words}", soft_wrap=True)

    def show_experiment(self, experiment: ExperimentAnswer) -> None:
        """Executions and epochs done, and the time that is left."""
        words = experiment_words(experiment, datetime.now(UTC))
        self.show(experiment.progress, words, ended=experiment.state in ENDED)

    def show_dataset(self, dataset: DatasetAnswer) -> None:
        """Images read so far; how many there will be is not known before the end."""
        self.show(float(dataset.state == "ready"), f"{dataset.images_done:,} images, {dataset.state}")

    def show_bytes(self, sent: int, total: int) -> None:
        """Of an upload."""
        self.show(sent / total if total else 1.0, f"{sent / 1e6:,.1f} of {total / 1e6:,.1f} MB")

    def _line_is_due(self, share: float, words: str, ended: bool) -> bool:
        now = self._clock()
        if self._last_line is not None:
            last_share, last_time, last_words = self._last_line
            # All epochs may be done before all executions have ended: the last words are the ones to read.
            finished = (ended or share >= 1) and words != last_words
            if not finished and share - last_share < LINE_SHARE and now - last_time < LINE_SECONDS:
                return False
        self._last_line = (share, now, words)
        return True


def experiment_words(experiment: ExperimentAnswer, now: datetime) -> str:
    """`3 of 6 executions, 41 of 90 epochs, 0:12 left`."""
    awaited = [awaited_words(one) for one in experiment.waits_for]
    if awaited and not experiment.epochs_done:
        return ", then ".join(awaited)
    counts = experiment.counts
    ended = counts.succeeded + counts.failed + counts.cancelled
    words = [
        f"{ended} of {experiment.executions} executions",
        f"{experiment.epochs_done:,} of {experiment.epochs:,} epochs",
    ]
    words += [f"{counts[how]} {how}" for how in ("failed", "cancelled") if counts[how]]
    if experiment.estimated_finish and experiment.state == "running":
        left = experiment.estimated_finish - now
        words.append(f"{_duration(left.total_seconds())} left")
    return ", ".join(words)


def awaited_words(awaited: AwaitedAnswer) -> str:
    """`features of 512 of 4,317 images`."""
    if awaited.images is None:
        return f"waiting for a worker to make the {awaited.kind}"
    return f"{awaited.kind} of {awaited.images_done:,} of {awaited.images:,} images"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
