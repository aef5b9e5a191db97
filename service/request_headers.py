"""The headers of a request, read once for all who ask for some of them."""

from collections.abc import Mapping

from starlette.types import Scope


def headers_of(scope: Scope) -> Mapping[str, str]:
    """The first value of each header, by its name in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
