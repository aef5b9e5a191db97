"""Which of the forms that a route has a caller wants: the Accept header, with its weights (RFC 9110, section 12.5.1)."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request

_ANY = "*"


def preferred(request: Request, offered: Sequence[str]) -> str:
    """The media type among `offered` that the caller wants most.

    Of those that are wanted alike the one that is named before those that a wildcard covers, then the earlier one. The first is
    also for those who do not say, and for those who want none of them: an answer in another form serves better than none.
    """
    ranges = [_range(part) for part in ",".join(request.headers.getlist("accept")).split(",") if part.strip()]
    wanted = [_wanted(media_type, ranges) for media_type in offered]
    best = max(wanted, default=(0.0, 0))
    return offered[wanted.index(best)] if best[0] > 0 else offered[0]


def chosen(request: Request, format: str | None, offered: Mapping[str, str]) -> str:
    """The media type of the `format` of the query, which wins over Accept: a link cannot say what it accepts."""
    return offered[format] if format else preferred(request, list(offered.values()))


def _range(part: str) -> tuple[str, float]:
    """A media range and its weight; a weight that cannot be read is none."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            weight = _number(value.strip())
    return media_range, weight


def _number(text: str) -> float:
    return min(float(text), 1.0) if text.replace(".", "", 1).isdecimal() else 0.0


def _wanted(media_type: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int]:
    """Its weight by the most specific range that covers it, and how specific that is."""
    kind = media_type.partition("/")[0]
    precision = {f"{_ANY}/{_ANY}": 1, f"{kind}/{_ANY}": 2, media_type: 3}
    covering = [(precision[media_range], weight) for media_range, weight in ranges if media_range in precision]
    if not covering:
        return 0.0, 0
    how_specific, weight = max(covering)
    return weight, how_specific
