"""Entering datasets: requests and starting processes may ask for the same one at the same moment."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
import structlog

from noisegate.errors import Conflict
from noisegate.store import datasets
from noisegate.store.datasets import Registered
from noisegate.store.sessions import Sessions
from noisegate.store.states import DatasetState
from noisegate.store.wakeups import Wakeups

log = structlog.get_logger(__name__)

DIGITS = "digits"
DEFAULT_IMAGE_SIZE = 32


@dataclass(frozen=True)
class Wanted:
    """A dataset that somebody asks for. `upload_digest` is None for those this server gets by itself."""

    name: str
    source: str
    image_size: int
    upload_digest: str | None = None


def register(sessions: Sessions, wanted: Wanted, bring_in: Callable[[], None] = lambda: None) -> Registered:
    """Enter the dataset, or find the one that is there.

    Args:
        bring_in: puts the archive among the artefacts; called only for a new dataset, while nobody else may remove it.

    Raises:
        Conflict: another dataset has this name.
        StorageFull: no room for the archive.
    """
    try:
        return _register(sessions, wanted, bring_in)
    except sa.exc.IntegrityError:
        # PostgreSQL let another transaction in after this one had looked. Its row is there to be found now.
        return _register(sessions, wanted, bring_in)


def _register(sessions: Sessions, wanted: Wanted, bring_in: Callable[[], None]) -> Registered:
    with sessions.begin() as session:
        registered = datasets.register(session, **vars(wanted))
        if registered.created:
            bring_in()
    return registered


def register_digits(sessions: Sessions, wakeups: Wakeups) -> None:
    """The bundled digits, so that a fresh installation has something to train on."""
    try:
        digits = register(sessions, Wanted(DIGITS, DIGITS, DEFAULT_IMAGE_SIZE)).dataset
    except Conflict as error:
        log.info("digits_not_registered", reason=error.detail)
        return
    if digits.state is DatasetState.INGESTING:
        wakeups.ingest(digits.id)
