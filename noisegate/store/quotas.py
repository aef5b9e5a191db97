"""How much this server takes on: asked for before anything is created."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.errors import FieldError, InvalidSpec, QuotaExceeded, StorageFull
from noisegate.store.artefacts import Artefacts
from noisegate.store.states import State
from noisegate.store.tables import Execution

RETRY_SECONDS = 60


def check_queue(session: Session, wanted: int, *, most: int) -> None:
    """Look whether `wanted` executions more can be taken on, where at most `most` may wait or run.

    Requests that come together are not counted against each other: together they may go a little over.

    Raises:
        InvalidSpec: they never can, however long anybody waits.
        QuotaExceeded: not now.
    """
    if wanted > most:
        remedy = f"Ask for at most {most:,} executions in all cells together."
        raise InvalidSpec(
            [FieldError("executions", f"come to {wanted:,}; this server takes on {most:,} at once", remedy)]
        )
    if (open_now := _count_open(session, most)) + wanted > most:
        raise QuotaExceeded(
            f"{open_now:,} executions wait or run; with these {wanted:,} they would be over this server's {most:,}",
            retry_after_seconds=RETRY_SECONDS,
            remedy="Post it again when some have ended, ask for less, or cancel an experiment.",
        )


def check_room(artefacts: Artefacts, *, min_free_bytes: int, wanted: int = 0) -> None:
    """Look whether there is room for what an upload or an experiment will leave behind.

    Args:
        wanted: bytes that are about to be written; 0 where that is not known yet.

    Raises:
        StorageFull: less than `min_free_bytes` of the disk are free, or would be.
    """
    if (free := artefacts.free_bytes()) - wanted < min_free_bytes:
        taken = f", and {wanted:,} are to be written" if wanted else ""
        raise StorageFull(
            f"{free:,} bytes of the disk are free{taken}; this server leaves {min_free_bytes:,}",
            remedy="Free some space, or delete datasets and experiments, then send it again.",
        )


def check_room_for(artefacts: Artefacts, what: str, needed: int, *, min_free_bytes: int) -> None:
    """Look whether there is room for what is made of a dataset's images.

    Args:
        what: takes the room, in words.
        needed: bytes of the disk that are taken while it is made.

    Raises:
        StorageFull: they are not free, besides what this server leaves.
    """
    free = artefacts.free_bytes()
    if free - needed < min_free_bytes:
        raise StorageFull(
            f"{what} takes {needed:,} bytes of the disk on the way; {free:,} are free, and this server leaves "
            f"{min_free_bytes:,}",
            field="image_size",
            remedy="Free some space, delete datasets or run `noisegate gc`, then post it again; or use a smaller image_size.",
        )


def _count_open(session: Session, most: int) -> int:
    """Executions that wait or run, of all experiments; counts an index, and no further than `most`."""
    query = sa.select(Execution.state).where(Execution.state.in_([State.QUEUED, State.RUNNING])).limit(most)
    return session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
