"""What the answers of several rooms have in common."""

from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, WrapValidator

from noisegate.store.deletion import Deleted
from noisegate.store.json_columns import Unreadable

Item = TypeVar("Item")

POLL_SECONDS = "1"  # the Retry-After of what is still under way

# Headers of answers, as OpenAPI documents them.
POLLED: dict[str, Any] = {
    "Retry-After": {"description": "Seconds; missing once it has ended.", "schema": {"type": "integer"}}
}
LOCATED: dict[str, Any] = {
    "Location": {"description": "Path of what was created or found.", "schema": {"type": "string"}}
}


# Above 2⁵³, which the seeds of executions are nearly always.
EXACT_SEED = "The seed as a text, for JavaScript and jq, which round the number."


def _as_it_is(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    return value.document if isinstance(value, Unreadable) else validate(value)


# Annotates a document of a row: one that a newer version wrote is answered as it is, and the others beside it as always.
AS_STORED = WrapValidator(_as_it_is)


class Answer(BaseModel):
    """An answer, or a part of one, that is read from a row."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    @classmethod
    def of_row(cls, row: object, /, **others: object) -> Self:
        """The answer with the row's attributes of the same names, but for what `others` give."""
        same = {name: getattr(row, name) for name in cls.model_fields if name not in others}
        return cls.model_validate(same | others)


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

    experiment: str | None = Field(description="Its id; null where it is only a model.")
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
