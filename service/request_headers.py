"""The headers of a request, read once for all who ask for some of them."""

from collections.abc import Mapping

from starlette.types import Scope

_READ = "noisegate.headers"


def headers_of(scope: Scope) -> Mapping[str, str]:
    """The first value of each header, by its name in lower case."""
    sent, found = scope.get(_READ, (None, {}))
    if sent is not scope["headers"]:  # read for the first time, or replaced since
        sent = scope["headers"]
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(sent)}
        scope[_READ] = sent, found
    return found
