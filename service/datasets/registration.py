"""Entering datasets: requests and starting processes may ask for the same one at the same moment."""

from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from noisegate.errors import Conflict
from noisegate.store import datasets
from noisegate.store.sessions import Sessions
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
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


@dataclass(frozen=True)
class Registered:
    """The dataset, and whether it is new."""

    dataset: Dataset
    created: bool


def register(sessions: Sessions, wanted: Wanted) -> Registered:
    """Enter the dataset, or find the one that is there.

    Raises:
        Conflict: another dataset has this name.
    """
    try:
        return _register(sessions, wanted)
    except sa.exc.IntegrityError:
        # PostgreSQL let another transaction in after this one had looked. Its row is there to be found now.
        return _register(sessions, wanted)


def _register(sessions: Sessions, wanted: Wanted) -> Registered:
    inserted: list[object] = []

    def note(_session: Session, row: object) -> None:
        inserted.append(row)

    with sessions.begin() as session:
        sa.event.listen(session, "pending_to_persistent", note)
        dataset = datasets.register(session, **vars(wanted))
    return Registered(dataset, dataset in inserted)


def register_digits(sessions: Sessions, wakeups: Wakeups) -> None:
    """The bundled digits, so that a fresh installation has something to train on."""
    try:
        digits = register(sessions, Wanted(DIGITS, DIGITS, DEFAULT_IMAGE_SIZE)).dataset
    except Conflict as error:
        log.info("digits_not_registered", reason=error.detail)
        return
    if digits.state is DatasetState.INGESTING:
        wakeups.ingest(digits.id)
