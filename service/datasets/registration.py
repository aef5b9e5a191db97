"""Entering datasets: requests and starting processes may ask for the same one at the same moment."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

from noisegate.api.reading import AS_IT_IS, Reading
from noisegate.errors import Conflict
from noisegate.store import datasets, files
from noisegate.store.datasets import Registered
from noisegate.store.prerequisites import usable_base
from noisegate.store.sessions import Sessions
from noisegate.store.states import DatasetState
from noisegate.store.wakeups import Wakeups
from service.transactions import twice

log = structlog.get_logger(__name__)

DIGITS = "digits"
DEFAULT_IMAGE_SIZE = 32


@dataclass(frozen=True)
class Wanted:
    """A dataset that somebody asks for. `upload_digest` is None for those this server gets by itself.

    `base` is the id of the dataset that an upload is added to, `file_name` what its sender calls its file.
    """

    name: str
    source: str
    image_size: int
    upload_digest: str | None = None
    reading: Reading = AS_IT_IS
    base: str | None = None
    file_name: str | None = None


def register(session: Session, wanted: Wanted, bring_in: Callable[[], None] = lambda: None) -> Registered:
    """Enter the dataset, or find the one that is there.

    Args:
        bring_in: puts the archive among the artefacts; called only for a new dataset, while no other process may remove it.

    Raises:
        Conflict: another dataset has this name.
        InvalidInput, NotReady, Conflict: the base cannot be one, or not any more.
        StorageFull: no room for the archive.
        IntegrityError: another transaction entered it meanwhile; look again in a new one.
    """
    base = None
    if wanted.base is not None:
        files.lock(session)  # so that the base is not deleted before its version is entered
        base = usable_base(session, wanted.base, wanted.image_size)
    registered = datasets.register(session, **(vars(wanted) | {"base": base}))
    if registered.created:
        bring_in()
    return registered


def register_digits(sessions: Sessions, wakeups: Wakeups) -> None:
    """The bundled digits, so that a fresh installation has something to train on."""
    try:
        digits = twice(sessions, lambda session: register(session, Wanted(DIGITS, DIGITS, DEFAULT_IMAGE_SIZE))).dataset
    except Conflict as error:
        log.info("digits_not_registered", reason=error.detail)
        return
    if digits.state is DatasetState.INGESTING:
        wakeups.ingest(digits.id)
