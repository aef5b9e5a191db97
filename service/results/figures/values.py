"""What figures show of a row: measured and published values in the units of their axes, and what was swept."""

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter

from noisegate.noise import NoiseSpec
from noisegate.presets.published import PublishedValues
from noisegate.spec.sweeps import value_at
from service.results.schemas import Results, Row
from service.results.statistics import Summary

_NOISE: TypeAdapter[NoiseSpec] = TypeAdapter(NoiseSpec)


@dataclass(frozen=True)
class Metric:
    """A column of the paper's tables (Table 1). `factor` takes a row's unit to the axis's."""

    field: str
    symbol: str
    axis: str
    factor: float

    def summary(self, row: Row) -> Summary | None:
        """What the executions gave."""
        found: Summary | None = getattr(row, self.field)
        return found

    def printed(self, values: PublishedValues) -> float | None:
        """What the paper prints."""
        found: float | None = getattr(values, self.field)
        return found


class KindMeasure(Metric):
    """A number that a kind of experiment measures besides, in its own unit; the paper prints none."""

    @classmethod
    def named(cls, name: str) -> "KindMeasure":
        return cls(name, "", "\n".join(textwrap.wrap(name.replace("_", " "), 24)), 1)

    def summary(self, row: Row) -> Summary | None:
        return row.measures.get(self.field)

    def printed(self, values: PublishedValues) -> float | None:  # noqa: ARG002
        return None


ACCURACY = Metric("accuracy", "A", "test accuracy (%)", 100)
ACCURACY_STD = Metric("accuracy_std", "σ of A", "std of A over\nexecutions (points)", 100)
CONFIDENCE = Metric("confidence", "Pc", "confidence, correctly\nclassified (%)", 100)
SPURIOUSNESS = Metric("spuriousness", "Ps", "confidence,\nmisclassified (%)", 100)
TRUE_CLASS = Metric("true_class_probability", "Pg", "true class's probability,\nmisclassified (%)", 100)
NOISE_COUNT = Metric("noise_per_10000", "N", "test images called\nnoise per 10,000", 1)
METRICS = (ACCURACY, ACCURACY_STD, CONFIDENCE, SPURIOUSNESS, TRUE_CLASS, NOISE_COUNT)


@dataclass(frozen=True)
class Value:
    """A mean and its standard error; null where there is no telling."""

    mean: float
    error: float | None
    n: int | None


def measured(row: Row, metric: Metric) -> Value | None:
    """What the executions gave; None before the first, and for noise counts without a noise class."""
    if metric is NOISE_COUNT and not row.has_noise_class:
        return None
    if metric is ACCURACY_STD:
        return _std_of(row.accuracy)
    summary = metric.summary(row)
    return in_units(summary, metric.factor) if summary else None


def in_units(summary: Summary, factor: float) -> Value:
    """A summary in the units of an axis."""
    error = None if summary.standard_error is None else summary.standard_error * factor
    return Value(summary.mean * factor, error, summary.n)


def published(row: Row, metric: Metric) -> Value | None:
    """What the paper prints for this cell. Only accuracies have a printed spread, hence an error."""
    printed = row.published
    mean = metric.printed(printed) if printed else None
    if printed is None or mean is None:
        return None
    std = printed.accuracy_std
    if printed.n is None or printed.n < 2 or std is None:
        return Value(mean * metric.factor, None, printed.n)
    errors = {ACCURACY: std / math.sqrt(printed.n), ACCURACY_STD: _error_of_std(std, printed.n)}
    error = errors.get(metric)
    return Value(mean * metric.factor, None if error is None else error * metric.factor, printed.n)


def baseline_of(results: Results) -> Row | None:
    """The cell that the others are compared with."""
    return next((row for row in results.rows if row.cell == results.baseline_cell), None)


def noise_number(point: Mapping[str, JsonValue], field: str) -> float | None:
    """A number of the swept noise, such as `quantity`, whether the whole noise was swept or this field; None if neither."""
    return as_number(noise_value(point, field))


def noise_value(point: Mapping[str, JsonValue], path: str) -> JsonValue:
    """The value of the swept noise at a path such as `filter.kind`, defaults filled in; None if it was not swept."""
    if (direct := f"noise.{path}") in point:
        return point[direct]
    for outer, value in point.items():
        if direct.startswith(outer + ".") and isinstance(value, dict):
            found = _NOISE.validate_python(value).model_dump(mode="json") if outer == "noise" else value
            return value_at(found, direct.removeprefix(outer + "."))
    return None


def as_number(value: JsonValue) -> float | None:
    """The value as a number; None if it is something else. True and False are no numbers here."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _std_of(accuracy: Summary | None) -> Value | None:
    if accuracy is None or accuracy.std is None:
        return None
    factor = ACCURACY_STD.factor
    return Value(accuracy.std * factor, _error_of_std(accuracy.std, accuracy.n) * factor, accuracy.n)


def _error_of_std(std: float, n: int) -> float:
    # As it is for normal values; enough to see that a spread over three executions is hardly known.
    return std / math.sqrt(2 * (n - 1))
