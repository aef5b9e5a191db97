"""Contact sheets of training and test images, the data map as a figure, and who is taken for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from noisegate.class_names import NOISE_CLASS
from noisegate.errors import InvalidInput
from noisegate.later import Later, later
from noisegate.spec.reasons import MEANINGS
from noisegate.store import experiments
from noisegate.store.packed import open_packed
from noisegate.store.tables import Dataset
from service.deps import Resources, ResourcesDep
from service.errors import problems
from service.samples.confusion import called_by, confused, images_of, place_of
from service.samples.pictures import pictures
from service.samples.routes import CellQuery, LabelQuery, ReasonQuery, check_label, open_table
from service.samples.sheet import Format, Tile, draw_sheet

if TYPE_CHECKING:
    import pyarrow as pa
pc: Any = Later("pyarrow.compute")
draw_data_map = later("service.samples.data_map:draw_data_map")

MEDIA_TYPES: dict[Format, str] = {"svg": "image/svg+xml", "png": "image/png"}
_MOST_PICTURES = 200
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}},
}

router = APIRouter(prefix="/experiments", tags=["samples"])

Subgroup = Literal["lc", "hc", "ls", "hs"]
_WORDS: dict[Subgroup, str] = {
    "lc": "low confidence, taken for their own class",
    "hc": "high confidence, taken for their own class",
    "ls": "low spuriousness: taken for another class, with doubt",
    "hs": "high spuriousness: taken for another class, with certainty",
}
Count = Annotated[int, Query(ge=1, le=_MOST_PICTURES, description=f"Pictures at most, up to {_MOST_PICTURES}.")]
Offset = Annotated[int, Query(ge=0, description="Pictures to pass over.")]


@router.get(
    "/{experiment_id}/samples/sheet.{format}",
    response_class=Response,
    responses=_CONTENT | problems(404, 409, 422),
)
def get_sheet(
    experiment_id: str,
    format: Format,
    resources: ResourcesDep,
    cell: CellQuery = None,
    reason: ReasonQuery = None,
    label: LabelQuery = None,
    subgroup: Annotated[
        Subgroup | None, Query(description="low or high confidence, low or high spuriousness: the extremes first.")
    ] = None,
    count: Count = 60,
    offset: Offset = 0,
) -> Response:
    """Training images as photographs, the lowest value first: all, those with a reason or of a class, or a subgroup."""
    table = open_table(resources, experiment_id, cell)
    check_label(table, label)
    rows = _of_subgroup(table.narrowed(reason, label), subgroup)
    shown = rows.slice(offset, count).to_pylist()
    dataset = _dataset(resources, experiment_id)
    found = pictures(resources.artefacts, resources.settings, dataset, [row["image"] for row in shown])
    tiles = [Tile(pixels, _lines(row)) for pixels, row in zip(found, shown, strict=True)]
    parts = [
        MEANINGS[reason] if reason else "",
        f"class {label}" if label else "",
        _WORDS[subgroup] if subgroup else "",
    ]
    title = f"{dataset.name}: {'; '.join(part for part in parts if part) or 'training images, the lowest value first'}"
    note = f"{len(shown):,} of {len(rows):,} images. Below each: its id and label, then what fits best if another does, and value."
    return Response(draw_sheet(format, title, note, tiles), media_type=MEDIA_TYPES[format])


@router.get(
    "/{experiment_id}/samples/confusion.{format}",
    response_class=Response,
    responses=_CONTENT | problems(404, 409, 422),
)
def get_confused_images(
    experiment_id: str,
    format: Format,
    resources: ResourcesDep,
    label: Annotated[str, Query(description="The class of the test images; to be given.", max_length=1000)] = "",
    called: Annotated[
        str, Query(description="What they are taken for: a class, or noise; to be given.", max_length=1000)
    ] = "",
    cell: CellQuery = None,
    count: Count = 60,
    offset: Offset = 0,
) -> Response:
    """The test images of one cell of the confusion matrix: those that most executions take for the class first."""
    with resources.sessions.reading() as session:
        answers = called_by(session, resources.artefacts, experiment_id, cell)
    dataset = _dataset(resources, experiment_id)
    packed = open_packed(resources.artefacts, dataset)
    for field, name in (("label", label), ("called", called)):
        if name not in packed.classes and (field, name) != ("called", NOISE_CLASS):
            listed = ", ".join(packed.classes[:20])
            raise InvalidInput(f"the dataset has no class {name!r}", field=field, remedy=f"Its classes: {listed}.")
    truth, taken_for = packed.classes.index(label), place_of(called, packed.classes)
    places, votes = images_of(answers, packed.labels[packed.train_count :], truth, taken_for)
    chosen = slice(offset, offset + count)
    found = pictures(resources.artefacts, resources.settings, dataset, (places[chosen] + packed.train_count).tolist())
    said = [
        (f"test {place}", f"by {of} of {len(answers)}") for place, of in zip(places[chosen], votes[chosen], strict=True)
    ]
    tiles = [Tile(pixels, lines) for pixels, lines in zip(found, said, strict=True)]
    title = f"{dataset.name}: test images of {label} that are called {called}"
    note = f"{len(tiles):,} of {len(places):,} images. Below each: its place among the test images, and by how many executions."
    return Response(draw_sheet(format, title, note, tiles), media_type=MEDIA_TYPES[format])


class RecordedConfusion(BaseModel):
    """Who is taken for whom, by all executions that recorded samples."""

    classes: list[str]
    called: list[str] = Field(description="The classes, and noise.")
    executions: int
    counts: list[list[float]] = Field(
        description="Test images of each class (rows) by what they are called (columns): the mean over executions."
    )


@router.get("/{experiment_id}/samples/confusion", responses=problems(404, 409, 422))
def get_recorded_confusion(experiment_id: str, resources: ResourcesDep, cell: CellQuery = None) -> RecordedConfusion:
    """The confusion matrix of the test images, by the executions of an experiment that recorded samples."""
    with resources.sessions.reading() as session:
        answers = called_by(session, resources.artefacts, experiment_id, cell)
    packed = open_packed(resources.artefacts, _dataset(resources, experiment_id))
    counts = confused(answers, packed.labels[packed.train_count :], len(packed.classes))
    return RecordedConfusion(
        classes=packed.classes,
        called=[*packed.classes, NOISE_CLASS],
        executions=len(answers),
        counts=np.round(counts, 6).tolist(),
    )


@router.get(
    "/{experiment_id}/samples/data-map.{format}",
    response_class=Response,
    responses=_CONTENT | problems(404, 409, 422),
)
def get_data_map(experiment_id: str, format: Format, resources: ResourcesDep, cell: CellQuery = None) -> Response:
    """The data map: mean probability of the label over its spread, a dot a training image."""
    table = open_table(resources, experiment_id, cell)
    name = _dataset(resources, experiment_id).name
    return Response(draw_data_map(table, name, format), media_type=MEDIA_TYPES[format])


def _of_subgroup(rows: pa.Table, subgroup: Subgroup | None) -> pa.Table:
    if subgroup is None:
        return rows
    right = pc.equal(rows["suggested"], rows["label"])
    known = rows["confidence"].is_valid()
    half = rows.filter(pc.and_(known, right if subgroup in ("lc", "hc") else pc.invert(right)))
    direction = "ascending" if subgroup in ("lc", "ls") else "descending"
    return half.sort_by([("confidence", direction), ("image", "ascending")])


def _lines(row: dict[str, Any]) -> tuple[str, str]:
    value = "–" if row["value"] is None else f"{row['value']:.3f}"
    other = f"rather {row['suggested']}, " if row["suggested"] != row["label"] else ""
    return f"{row['image']}: {row['label']}", f"{other}{value}"


def _dataset(resources: Resources, experiment_id: str) -> Dataset:
    with resources.sessions.reading() as session:
        dataset = experiments.get(session, experiment_id).dataset
    assert dataset is not None, "what records samples is trained on a dataset"
    return dataset
