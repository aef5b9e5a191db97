"""What happened to an experiment, in order: an append-only table that streams are read from.

Numbers are given under the experiment's lock, so they have no gaps and are committed in their order: a reader who has
seen number n misses nothing by asking for what comes after n.
"""

from collections.abc import Sequence
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.store.tables import Event, Experiment, utc_now


class EventType(StrEnum):
    """What can happen. `data` of each:

    queued: executions. started: nothing. epoch: cell, execution, epoch, epochs, images_per_second, of an execution that runs;
    at most one a second; losses, of the epochs since the one told before, and holdout_losses, where its recipe stops early;
    state, queued, of one that was given back or lost, whose epochs after this one (its checkpoint's) do not count.
    execution_finished: cell, execution, state, accuracy, and findings (why it has not learnt, if it was judged).
    cell_finished: cell, and not_learnt, the number of its executions that have not, if they were judged.
    cancelling: reason (requested, deadline). finished: state, and default, what became of that alias, if it succeeded and
    kept a model; the last event there is.
    """

    QUEUED = "queued"
    STARTED = "started"
    EPOCH = "epoch"
    EXECUTION_FINISHED = "execution_finished"
    CELL_FINISHED = "cell_finished"
    CANCELLING = "cancelling"
    FINISHED = "finished"


def append(session: Session, experiment: Experiment, type: EventType, **data: object) -> None:
    """Enter an event. The caller holds the experiment's lock."""
    experiment.last_event += 1
    experiment.updated_at = utc_now()
    session.add(Event(experiment_id=experiment.id, number=experiment.last_event, type=type.value, data=data))


def after(session: Session, experiment_id: str, number: int, *, limit: int) -> Sequence[Event]:
    """The experiment's events after this number, oldest first, at most `limit`."""
    query = sa.select(Event).where(Event.experiment_id == experiment_id, Event.number > number)
    return session.scalars(query.order_by(Event.number).limit(limit)).all()
