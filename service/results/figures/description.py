"""A figure's numbers in words, for readers who cannot see it."""

from collections.abc import Iterator

from service.results.figures.values import ACCURACY, Value, in_units, measured, published
from service.results.figures.wording import subtitle
from service.results.schemas import Results, Row


def describe(results: Results) -> str:
    """Where the results stand, then a sentence a cell."""
    return ". ".join([subtitle(results), *(f"{row.label}: {', '.join(_parts(row))}" for row in results.rows)]) + "."


def _parts(row: Row) -> Iterator[str]:
    value, printed = measured(row, ACCURACY), published(row, ACCURACY)
    if value:
        yield f"{ACCURACY.axis} {_number(value, 2)}"
    if printed:
        yield f"published {_number(printed, 2)}"
    for name, summary in row.measures.items():
        yield f"{name.replace('_', ' ')} {_number(in_units(summary, 1), 4)}"
    if not (value or printed or row.measures):
        yield "nothing yet"


def _number(value: Value, digits: int) -> str:
    error = "" if value.error is None else f" ± {value.error:.{digits}f}"
    return f"{value.mean:.{digits}f}{error} (n = {'unknown' if value.n is None else value.n})"
