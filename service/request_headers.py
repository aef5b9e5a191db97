"""The headers of a request, read once for all who ask for some of them."""

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

_READ = "noisegate.headers"


def headers_of(scope: Scope) -> Mapping[str, str]:
    """The first value of each header, by its name in lower case."""
    sent = scope["headers"]
    kept: tuple[Any, Mapping[str, str]] | None = scope.get(_READ)
    if kept is None or kept[0] is not sent:  # read for the first time, or replaced since
        kept = sent, {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(sent)}
        scope[_READ] = kept
    return kept[1]
