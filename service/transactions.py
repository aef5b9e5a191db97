"""Writing beside others."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from noisegate.store.sessions import Sessions

Result = TypeVar("Result")


def twice(sessions: Sessions, work: Callable[[Session], Result]) -> Result:
    """What `work` returns from a transaction; from a second one if another transaction conflicted with the first.

    PostgreSQL lets another in after this one has looked. What that one wrote is there to be found the second time.
    """
    try:
        with sessions.begin() as session:
            return work(session)
    except IntegrityError:
        with sessions.begin() as session:
            return work(session)
