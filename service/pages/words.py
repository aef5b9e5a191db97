"""Numbers, times and shares as pages write them: filters of the templates."""

import json
from datetime import datetime, timedelta

from markupsafe import Markup, escape
from pydantic import JsonValue

NOTHING = "–"
_NARROW = "\N{NO-BREAK SPACE}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0 … 1 in percent."""
    return NOTHING if share is None else f"{100 * share:.{digits}f}{_NARROW}%"


def count(number: float | None) -> str:
    """A whole number with its thousands parted."""
    return NOTHING if number is None else f"{number:,.0f}"


def decimal(number: float | None, digits: int = 3) -> str:
    """A number to so many significant digits."""
    return NOTHING if number is None else f"{number:.{digits}g}"


def size(number: int | None) -> str:
    """Bytes in the unit that suits them."""
    if number is None:
        return NOTHING
    amount = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:,.0f}{_NARROW}{unit}" if unit == "bytes" else f"{amount:,.1f}{_NARROW}{unit}"
        amount /= 1000
    raise AssertionError("the loop answers")


def duration(seconds: float | None) -> str:
    """A time span in its two largest units."""
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    if whole < 1:
        return f"{seconds:.1f}{_NARROW}s"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    first = next(index for index, (length, _) in enumerate(units) if whole >= length)
    parts = []
    for length, unit in units[first : first + 2]:
        amount, whole = divmod(whole, length)
        if amount:
            parts.append(f"{amount}{_NARROW}{unit}")
    return " ".join(parts)


def span(start: datetime | None, end: datetime | None) -> str:
    """From one moment to another."""
    return duration(max(timedelta(), end - start).total_seconds()) if start and end else NOTHING


def moment(time: datetime | None) -> str:
    """A moment in UTC, which the script of pages turns into `3 minutes ago` where there is one."""
    if time is None:
        return NOTHING
    shown = f"{time:%Y-%m-%d %H:%M} UTC"
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), shown)


def value(found: JsonValue) -> str:
    """A JSON value: texts bare, whole numbers without a fraction, `none` for null, everything else as JSON."""
    if found is None:
        return "none"
    if isinstance(found, float) and found.is_integer():
        return f"{found:.0f}"
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def short(text: str, most: int = 60) -> Markup:
    """A text that may be long, cut; the whole of it is told on hovering and to screen readers."""
    if len(text) <= most:
        return escape(text)
    return Markup('<span title="{}">{}…</span>').format(text, text[: most - 1])


FILTERS = {
    function.__name__: function for function in (percent, count, decimal, size, duration, span, moment, value, short)
}
