"""Whether there is anything for a reaper to do: one question to the database, which most looks end with."""

from dataclasses import dataclass
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.store import derived, experiments, expiry
from noisegate.store.clock import seconds_now


@dataclass(frozen=True)
class Signs:
    """What a look found.

    Attributes:
        now: seconds by the database's clock.
        expired: a lease has expired, of an upload, an artefact or an execution.
        late: an experiment's deadline has passed.
        unsettled: executions wait for an artefact that has ended.
        overdue: something waits although it was woken long ago.
    """

    now: float
    expired: bool
    late: bool
    unsettled: bool
    overdue: bool


def read(session: Session, *, lease_seconds: float, wakeup_seconds: float) -> Signs:
    """Look once, as seconds and limits are now."""
    now, *found = session.connection().execute(_question(lease_seconds, wakeup_seconds)).one()
    return Signs(float(now), *map(bool, found))


# To build it takes longer than to ask it.
@lru_cache(maxsize=8)
def _question(lease_seconds: float, wakeup_seconds: float) -> sa.Select[float, bool, bool, bool, bool]:
    return sa.select(
        seconds_now(),
        expiry.any_expired(lease_seconds),
        experiments.any_late(),
        derived.any_unsettled(),
        expiry.any_overdue(wakeup_seconds),
    )
