"""What is imported when it is first used, so that a process that only waits neither loads nor holds it.

Drawing, Parquet and the search for copies take as long to import as all the rest of the service, and most processes of most
days need none of them. The import system's own locks make a first use by several threads at once one import.
"""

import gc
from collections.abc import Callable
from importlib import import_module
from pkgutil import resolve_name
from typing import Any


class Later:
    """Stands for a module: `pq = Later("pyarrow.parquet")`. Annotations that name it have to be strings."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def later(name: str) -> Callable[..., Any]:
    """Stands for a function: `draw = later("service.results.figures.rows:draw_metrics")`."""

    def call(*arguments: Any, **named: Any) -> Any:
        return resolve_name(name)(*arguments, **named)

    return call


def loaded(name: str) -> Any:
    """A module or what is in it, as `resolve_name` finds it; for what takes seconds to load.

    Nothing that is loaded goes again, and looking for garbage in it is up to a fifth of the seconds that loading takes.
    """
    gc.disable()
    try:
        return resolve_name(name)
    finally:
        gc.enable()
