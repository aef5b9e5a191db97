"""What /datasets reads and answers."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from sqlalchemy.orm import Session

from noisegate.spec.derived import View
from noisegate.store import dataset_names, derived
from noisegate.store.states import DatasetState, DerivedState
from noisegate.store.tables import Dataset, Derived
from service.errors import Problem
from service.schemas import Answer


def _printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise _refused("must consist of printable characters", "Leave line breaks and control characters out.")
    if "/" in name or name in (".", ".."):
        raise _refused("is no name that a path could have", "Choose one without a slash that is not . or ..")
    if name.startswith("ds_"):
        # get-by-id-or-name would find either.
        raise _refused("looks like an id", "Choose one that does not begin with ds_.")
    return name


def _refused(message: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("wrong_field", "{message}", {"message": message, "remedy": remedy})


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class SourceDocument(BaseModel):
    """A data set that this server knows where to get; name and image_size may stand here or in the query."""

    model_config = ConfigDict(extra="forbid")

    source: Literal["digits", "cifar10"]
    name: Name | None = None
    image_size: int | None = None


class ViewRead(Answer):
    """The dataset's images at a size and a way of resizing: made when an experiment first asks for them."""

    id: str
    image_size: int
    resize: str = Field(description="stretch, crop or pad.")
    interpolation: str = Field(description="bilinear or bicubic.")
    crop_share: float = Field(description="The share of the sides that was used, about the middle.")
    decoding: str = Field(description="full, or scaled: large JPEGs decoded at a part of their size.")
    state: DerivedState
    images_done: int
    size_bytes: int | None = Field(description="Null until it is ready.")
    error: Problem | None
    created_at: datetime
    used_at: datetime = Field(
        description="What nothing uses for long, `noisegate gc` removes; it is made again when asked for."
    )


class BaseRead(BaseModel):
    """The dataset whose images a version has besides its own."""

    id: str
    name: str = Field(description="As it was called when the version was asked for. It may have been deleted since.")


class DatasetRead(Answer):
    """A dataset, as far as its ingestion has got."""

    id: str
    name: str
    also_called: list[str] = Field(description="Other names under which the same was sent; each is as good as `name`.")
    source: str
    base: BaseRead | None = Field(description="What its upload was added to; null without a base.")
    state: DatasetState
    image_size: int
    images_done: int
    classes: list[str] | None
    counts: dict[str, dict[str, int]] | None = Field(description="Split to class to number of images.")
    train_count: int | None
    test_count: int | None
    skipped: int | None = Field(
        description="Files of the archive that are no images; asked for by another name, of the archive sent under that one."
    )
    content_hash: str | None
    licence: str | None
    originals_bytes: int | None = Field(
        description="Of the files that it came as; those that a version shares with its base are not counted. Null where they were"
        " not kept: it can be had at its image_size alone."
    )
    views: list[ViewRead] = Field(description="Besides the images as they were packed, stretched to image_size.")
    error: Problem | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Dataset, made: Sequence[Derived], also_called: Sequence[str]) -> Self:
        """The dataset's answer.

        Args:
            made: what was made of it, of any kind.
            also_called: its other names.
        """
        views = [_view(one, one.parameters) for one in made if isinstance(one.parameters, View)]
        base = BaseRead(id=row.base_id, name=row.base_name or row.base_id) if row.base_id else None
        return cls.of_row(row, views=views, also_called=also_called, base=base)


def read(session: Session, rows: Sequence[Dataset]) -> list[DatasetRead]:
    """Answers for these rows, by a fixed number of statements."""
    ids = [row.id for row in rows]
    made, names = derived.of_datasets(session, ids), dataset_names.others(session, ids)
    return [DatasetRead.of(row, made[row.id], names[row.id]) for row in rows]


def _view(row: Derived, view: View) -> ViewRead:
    return ViewRead.of_row(row, image_size=view.image_size, **asdict(view.fitting), images_done=row.done)
