"""The cell that this process trained last, kept ready: all of its executions see the same images, and noise takes time to draw."""

from collections.abc import Callable

from noisegate.learning.cells import PreparedCell

_kept: dict[str, PreparedCell] = {}


def prepared(cell_id: str, prepare: Callable[[], PreparedCell]) -> PreparedCell:
    """The cell with this id; `prepare` makes it unless it is the one that is kept."""
    if cell_id not in _kept:
        forget()  # first: there may not be room for two
        _kept[cell_id] = prepare()
    return _kept[cell_id]


def forget() -> None:
    """Give the memory back, which can be gigabytes."""
    _kept.clear()
