"""What the answers of several rooms have in common."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from noisegate.store.deletion import Deleted

Item = TypeVar("Item")

POLL_SECONDS = "1"  # the Retry-After of whatever is still under way

# Headers of answers, as OpenAPI documents them.
POLLED: dict[str, Any] = {
    "Retry-After": {"description": "Seconds; missing once it has ended.", "schema": {"type": "integer"}}
}
LOCATED: dict[str, Any] = {
    "Location": {"description": "Path of what was created or found.", "schema": {"type": "string"}}
}


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


class DeletedRead(BaseModel):
    """What went; in a dry run, what would go."""

    experiment: str | None = Field(description="Its id; null where only a model was deleted.")
    cells: int
    executions: int
    models: list[str] = Field(description="Their ids.")
    files: int = Field(
        description="Files removed: those that nothing else names. In a dry run, those that it names itself."
    )

    @classmethod
    def of(cls, deleted: Deleted, *, files: int, experiment: str | None = None) -> "DeletedRead":
        return cls(
            experiment=experiment,
            cells=deleted.cells,
            executions=deleted.executions,
            models=deleted.models,
            files=files,
        )
