"""What /datasets reads and answers."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from noisegate.store.states import DatasetState
from service.errors import Problem
from service.schemas import Answer


def _printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise ValueError("must consist of printable characters")
    if name.startswith("ds_"):
        # get-by-id-or-name would find either.
        raise ValueError("must not begin with ds_, as ids do")
    return name


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class SourceDocument(BaseModel):
    """A data set that this server knows where to get; name and image_size may stand here or in the query."""

    model_config = ConfigDict(extra="forbid")

    source: Literal["digits", "cifar10"]
    name: Name | None = None
    image_size: int | None = None


class DatasetRead(Answer):
    """A dataset, as far as its ingestion has got."""

    id: str
    name: str
    source: str
    state: DatasetState
    image_size: int
    images_done: int
    classes: list[str] | None
    counts: dict[str, dict[str, int]] | None = Field(description="Split to class to number of images.")
    train_count: int | None
    test_count: int | None
    skipped: int | None = Field(description="Files of the archive that are no images.")
    content_hash: str | None
    licence: str | None
    error: Problem | None
    created_at: datetime
    finished_at: datetime | None
