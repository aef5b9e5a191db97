"""One execution: its figures, its confusion matrix, and the test images behind each number of it."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from noisegate.errors import NotFound
from noisegate.store import datasets, experiments, models
from noisegate.store.tables import Dataset, Experiment
from service.experiments.schemas import ExecutionRead
from service.pages.frame import FrameDep
from service.results.answers import AnswerTable, Asked, Confusion, ImageAnswer, Order, execution_of, table_of

_IN_GALLERY = 48
# Of more classes the matrix would be a page by itself: its largest mistakes are listed instead.
_LARGEST_MATRIX = 30
_MISTAKES = 40
_SHADES = 10

router = APIRouter(prefix="/ui/experiments", include_in_schema=False)


class GalleryQuery(BaseModel):
    """Which test images are shown."""

    model_config = ConfigDict(extra="forbid")

    set: str = Field("known", max_length=200)
    label: str | None = Field(None, max_length=200)
    given: str | None = Field(None, max_length=200)
    rejected: bool | None = None
    right: bool | None = None
    order: Order = "surest"
    first: int = Field(0, ge=0)

    def with_(self, **changes: object) -> str:
        """The same query with changes, as it stands in an address; without its first image, unless that is given."""
        values = self.model_dump(exclude_none=True, exclude={"first"}) | changes
        shown = {name: _written(value) for name, value in values.items() if value is not None}
        return urlencode(shown)


@dataclass(frozen=True)
class Square:
    """One number of the matrix: its count, a shade of 0 … 10 by its share of the row, and whether it is what should be."""

    label: str
    given: str
    count: int
    shade: int
    own: bool


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix as it is drawn; `rows` are empty where there are too many classes, and `mistakes` stand for it."""

    name: str
    given: list[str]
    rows: list[tuple[str, list[Square], int]]
    mistakes: list[Square]


@dataclass(frozen=True)
class Shown:
    """An image of the gallery and where it is to be had."""

    answer: ImageAnswer
    thumbnail: str


@router.get("/{experiment_id}/cells/{cell}/executions/{execution}")
def execution_page(
    experiment_id: str, cell: int, execution: int, frame: FrameDep, query: Annotated[GalleryQuery, Query()]
) -> Response:
    """The page."""
    with frame.sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
        row = execution_of(session, experiment_id, cell, execution)
        shown = ExecutionRead.of(row)
        model = models.of_execution(session, row.id)
        table = _table(session, frame, row.samples_digest, (experiment_id, cell, execution))
        dataset = _dataset(session, experiment, query.set) if table else None
    matrices = [_matrix(table.confusion(name)) for name in table.set_names()] if table else []
    found = None
    if table is not None:
        asked = Asked(query.set, query.label, query.given, query.rejected, query.right, query.order)
        found = table.answers(asked, query.first, _IN_GALLERY)
    return frame.page(
        "execution.html",
        experiment=experiment,
        execution=shown,
        model=model.id if model else None,
        matrices=matrices,
        query=query,
        total=found.total if found else 0,
        images=[Shown(one, _thumbnail(dataset, one.image)) for one in found.items] if found and dataset else [],
        pixelated=bool(dataset and (dataset.source == "digits" or dataset.originals_digest is None)),
        following=query.first + _IN_GALLERY if found and query.first + _IN_GALLERY < found.total else None,
    )


def _table(session: Session, frame: FrameDep, digest: str | None, which: tuple[str, int, int]) -> AnswerTable | None:
    return table_of(session, frame.resources.artefacts, *which) if digest else None


def _dataset(session: Session, experiment: Experiment, name: str) -> Dataset | None:
    """Whose images a set's are: those of a set that is called as a dataset are of that one."""
    if name in ("known", "held_out"):
        return experiment.dataset
    try:
        return datasets.get(session, name)
    except NotFound:
        return None  # deleted since, or renamed


def _thumbnail(dataset: Dataset, place: int) -> str:
    train = dataset.train_count or 0
    split, index = ("train", place) if place < train else ("test", place - train)
    return f"/datasets/{dataset.id}/images/{split}/{index}/thumbnail.jpg"


def _matrix(found: Confusion) -> Matrix:
    squares = [
        [_square(label, given, count, sum(counts)) for given, count in zip(found.given, counts, strict=True)]
        for label, counts in zip(found.labels, found.counts, strict=True)
    ]
    if max(len(found.labels), len(found.given)) <= _LARGEST_MATRIX:
        rows = list(zip(found.labels, squares, found.rejected, strict=True))
        return Matrix(found.name, found.given, rows, [])
    wrong = [square for row in squares for square in row if square.count and not square.own]
    return Matrix(found.name, found.given, [], sorted(wrong, key=lambda square: -square.count)[:_MISTAKES])


def _square(label: str, given: str, count: int, of_row: int) -> Square:
    # What is there is seen, however small its share.
    shade = 0 if count == 0 else max(1, round(_SHADES * count / of_row))
    return Square(label, given, count, shade, label == given)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
