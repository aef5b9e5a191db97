"""Where means, error bars and published values lie along one scale: percentages of a drawing's width."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.results.schemas import Row
from service.results.statistics import Summary

# So that no mark is cut at an end.
_MARGIN = 4.0


@dataclass(frozen=True)
class Whisker:
    """One row's marks in percent of the width; None for what it does not have."""

    mean: float
    low: float | None
    high: float | None
    published: float | None


def accuracy_whiskers(rows: Sequence[Row]) -> dict[int, Whisker]:
    """The accuracies of all rows on one scale, by cell: mean, one standard error to each side, the published value."""
    ends = [end for row in rows for end in _ends(row.accuracy, _printed(row))]
    if not ends:
        return {}
    low, high = min(ends), max(ends)
    width = (high - low) or 1.0

    def placed(value: float | None) -> float | None:
        return None if value is None else round(_MARGIN + (100 - 2 * _MARGIN) * (value - low) / width, 2)

    return {
        row.cell: Whisker(
            placed(row.accuracy.mean) or 0.0,
            placed(_moved(row.accuracy, -1)),
            placed(_moved(row.accuracy, 1)),
            placed(_printed(row)),
        )
        for row in rows
        if row.accuracy
    }


def _ends(summary: Summary | None, printed: float | None) -> list[float]:
    if summary is None:
        return []
    error = summary.standard_error or 0.0
    return [summary.mean - error, summary.mean + error, *([] if printed is None else [printed])]


def _moved(summary: Summary, steps: int) -> float | None:
    return None if summary.standard_error is None else summary.mean + steps * summary.standard_error


def _printed(row: Row) -> float | None:
    return row.published.accuracy if row.published else None
