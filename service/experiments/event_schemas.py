"""What /experiments/{id}/events answers."""

from datetime import datetime

from pydantic import BaseModel, Field, JsonValue

from noisegate.store.events import EventType
from noisegate.store.tables import Event


class EventRead(BaseModel):
    """Something that happened to an experiment."""

    number: int = Field(description="1, 2, 3 … without a gap.")
    type: EventType
    at: datetime
    data: dict[str, JsonValue] = Field(
        description="queued: executions. epoch: cell, execution, epoch, epochs, images_per_second, losses: of the epochs since the "
        "one told before, holdout_losses: likewise, of a recipe that stops early; state: queued, of one that is to be started "
        "again after this epoch. execution_finished: cell, execution, state, accuracy, and findings: why it has not learnt, of "
        "one that was judged. cell_finished: cell, and not_learnt: how many of its executions have not. cancelling: reason. "
        "finished: state, and default: what became of that alias."
    )

    @classmethod
    def of(cls, event: Event) -> "EventRead":
        return cls(number=event.number, type=EventType(event.type), at=event.created_at, data=event.data)


class EventPage(BaseModel):
    """What happened after an event, oldest first."""

    items: list[EventRead]
    last: int = Field(description="Send it as `after` for what happened since.")
    ended: bool = Field(description="Whether nothing will happen any more.")
