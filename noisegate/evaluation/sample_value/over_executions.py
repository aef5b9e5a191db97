"""From the records of many executions to one row an image. The order in which they come changes nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int64

from noisegate.evaluation.sample_value.records import ExecutionRecord
from noisegate.evaluation.sample_value.trajectories import Trajectories, trajectories

_MEASURES = ("mean", "spread", "correct", "forgotten", "aum", "el2n")


@dataclass(frozen=True)
class Aggregated:
    """Of all training images of a dataset, means over the executions that were trained on each; NaN where none was.

    Attributes:
        executions: how many were trained on it.
        spread_executions: the standard deviation over executions of the mean probability of the label; NaN below two.
        learnt: whether any execution ever classified it correctly.
        above_noise: how far its mean margin lies above that of 99 % of the noise images; NaN without noise.
        noise_margin: that margin, over executions; None without noise.
        held: mean probabilities of the known classes by executions that were not trained on it; NaN where there is none.
        shown: mean probabilities of the known classes while it was trained on, over epochs and executions; NaN likewise.
    """

    executions: Int64[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    spread: Float[np.ndarray, " n"]
    spread_executions: Float[np.ndarray, " n"]
    correct: Float[np.ndarray, " n"]
    forgotten: Float[np.ndarray, " n"]
    learnt: Bool[np.ndarray, " n"]
    aum: Float[np.ndarray, " n"]
    el2n: Float[np.ndarray, " n"]
    above_noise: Float[np.ndarray, " n"]
    noise_margin: float | None
    held: Float[np.ndarray, "n classes"]
    shown: Float[np.ndarray, "n classes"]
    epochs: int


def aggregate(
    records: Iterable[ExecutionRecord], images: int, classes: int, check: Callable[[], None] = lambda: None
) -> Aggregated:
    """One row for each of the dataset's training images; no more than one record is in memory.

    Args:
        images: training images of the dataset; `classes` is the number of its classes.
        check: called after each record; whatever it raises passes through.
    """
    sums = _Sums(images, classes)
    for record in records:
        sums.add(record)
        check()
    return sums.aggregated()


@dataclass
class _Sums:
    """Sums in float64, whose order makes no difference beyond the 15th digit; what is answered has seven."""

    images: int
    classes: int
    epochs: int = 0
    noise: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._totals = {name: _Total(self.images) for name in (*_MEASURES, "above_noise")}
        self._squares = _Total(self.images)
        self._executions = np.zeros(self.images, np.int64)
        self._learnt = np.zeros(self.images, np.bool_)
        self._held, self._shown = (_Shares(self.images, self.classes) for _ in range(2))

    def add(self, record: ExecutionRecord) -> None:
        found = trajectories(record)
        for name in _MEASURES:
            self._totals[name].add(found.rows, getattr(found, name))
        self._squares.add(found.rows, found.mean.astype(np.float64) ** 2)
        self._executions[found.rows] += 1
        self._learnt[found.rows] |= found.learnt
        self._add_noise(found)
        self.epochs = max(self.epochs, len(record.margin))
        if len(record.mean_probabilities):
            rows, first = np.unique(record.rows, return_index=True)
            self._shown.add(rows, record.mean_probabilities[first], record.classes)
        rows, first = np.unique(record.held_rows, return_index=True)
        self._held.add(rows, record.held_probabilities[first], record.classes)

    def _add_noise(self, found: Trajectories) -> None:
        if found.noise_margin is not None:
            self.noise.append(found.noise_margin)
            self._totals["above_noise"].add(found.rows, found.aum - found.noise_margin)

    def aggregated(self) -> Aggregated:
        means = {name: total.mean() for name, total in self._totals.items()}
        count = self._squares.count
        variance = np.maximum(0, self._squares.mean() - means["mean"] ** 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.where(count > 1, np.sqrt(variance * count / np.maximum(1, count - 1)), np.nan)
        return Aggregated(
            executions=self._executions,
            spread_executions=spread,
            learnt=self._learnt,
            noise_margin=float(np.mean(sorted(self.noise))) if self.noise else None,
            held=self._held.mean(),
            shown=self._shown.mean(),
            epochs=self.epochs,
            **means,
        )


class _Total:
    """Sums and counts of what is not NaN."""

    def __init__(self, images: int) -> None:
        self.sum = np.zeros(images)
        self.count = np.zeros(images, np.int64)

    def add(self, rows: Int64[np.ndarray, " m"], values: np.ndarray) -> None:
        known = ~np.isnan(values)
        self.sum[rows[known]] += values[known]
        self.count[rows[known]] += 1

    def mean(self) -> Float[np.ndarray, " n"]:
        means: np.ndarray = np.divide(self.sum, self.count, out=np.full(len(self.sum), np.nan), where=self.count > 0)
        return means


class _Shares:
    """Sums of probabilities, of the known classes alone: what noise is given is shared out among them."""

    def __init__(self, images: int, classes: int) -> None:
        self.sum = np.zeros((images, classes), np.float64)
        self.count = np.zeros(images, np.int64)

    def add(self, rows: Int64[np.ndarray, " m"], probabilities: np.ndarray, classes: int) -> None:
        known = probabilities[:, :classes].astype(np.float64)
        total = known.sum(axis=1)
        # Of an image that nothing but noise is seen in, all classes are alike.
        even = total < np.finfo(np.float16).tiny
        shares = np.where(even[:, None], 1 / classes, known / np.where(even, 1, total)[:, None])
        self.sum[rows] += shares
        self.count[rows] += 1

    def mean(self) -> Float[np.ndarray, "n classes"]:
        count = self.count[:, None]
        means: np.ndarray = np.divide(self.sum, count, out=np.full(self.sum.shape, np.nan), where=count > 0)
        return means
