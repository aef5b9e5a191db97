"""What the answers of several rooms have in common."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")

POLL_SECONDS = "1"  # the Retry-After of whatever is still under way


class Answer(BaseModel):
    """A part of an answer that can be read from a row."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Collection(BaseModel, Generic[Item]):
    """One page of a collection, newest first."""

    items: list[Item]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")


class DatasetSummary(Answer):
    """The dataset that something was made from."""

    id: str
    name: str
    content_hash: str
