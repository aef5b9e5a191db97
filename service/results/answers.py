"""What one execution said of test images: counted as a confusion matrix, and listed image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from noisegate.errors import InvalidInput, NotFound
from noisegate.later import Later
from noisegate.store import executions
from noisegate.store.artefacts import Artefacts
from noisegate.store.tables import Execution

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = Later("pyarrow")
pq: Any = Later("pyarrow.parquet")

REJECT_SCORE = "reject_score"

Order = Literal["surest", "least_sure", "most_unknown", "place"]


class Confusion(BaseModel):
    """How often images of each class were given each class."""

    name: str = Field(description="Of the set of images: known, held_out, or a dataset.")
    images: int
    labels: list[str] = Field(description="Of the rows: the images' own classes.")
    given: list[str] = Field(description="Of the columns; `noise` last, where anything was called so.")
    counts: list[list[int]]
    rejected: list[int] = Field(description="Of each row, by the rule that decides at the default budget.")


class ConfusionRead(BaseModel):
    """The confusion matrices of one execution, one a set of test images."""

    experiment: str
    cell: int
    execution: int
    sets: list[Confusion]


class ImageAnswer(BaseModel):
    """What was said of one test image."""

    image: int = Field(description="Its place in its dataset, training images first.")
    label: str
    given: str
    probability: float | None = Field(description="Of `given`; null in tables from before it was kept.")
    rejected: bool | None = Field(description="Likewise.")
    reject_score: float


class ImageAnswers(BaseModel):
    """A part of the images that were asked for, in the order that was asked for."""

    total: int
    items: list[ImageAnswer]


@dataclass(frozen=True)
class Asked:
    """Which images of an execution; None: all of them."""

    set: str = "known"
    label: str | None = None
    given: str | None = None
    rejected: bool | None = None
    right: bool | None = None
    order: Order = "surest"


@dataclass(frozen=True)
class AnswerTable:
    """An execution's answers as arrays, all [n]; texts as places in `names`."""

    names: list[str]
    sets: npt.NDArray[np.int32]
    images: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]
    given: npt.NDArray[np.int32]
    reject_scores: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float32] | None
    rejected: npt.NDArray[np.bool_] | None

    def set_names(self) -> list[str]:
        """Of the sets, in their order in the file."""
        _, first = np.unique(self.sets, return_index=True)
        return [self.names[self.sets[place]] for place in np.sort(first)]

    def confusion(self, name: str) -> Confusion:
        """The matrix of one set: rows and columns in the order of their names, noise last."""
        inside = self._of("set", name, self.sets)
        labels, given = self.labels[inside], self.given[inside]
        rows, columns = self._ordered(labels), self._ordered(given, also=labels if name == "known" else None)
        counts = np.zeros((len(self.names), len(self.names)), dtype=np.int64)
        np.add.at(counts, (labels, given), 1)
        rejected = np.zeros(len(self.names), dtype=np.int64)
        if self.rejected is not None:
            np.add.at(rejected, labels[self.rejected[inside]], 1)
        return Confusion(
            name=name,
            images=int(inside.sum()),
            labels=[self.names[row] for row in rows],
            given=[self.names[column] for column in columns],
            counts=counts[np.ix_(rows, columns)].tolist(),
            rejected=rejected[rows].tolist(),
        )

    def answers(self, asked: Asked, first: int, limit: int) -> ImageAnswers:
        """Some of the images that were asked for.

        Raises:
            InvalidInput: there is no such set, or class; or it is not kept what was rejected.
        """
        places = self._sorted(np.flatnonzero(self._asked(asked)), asked.order)
        return ImageAnswers(total=len(places), items=[self._answer(place) for place in places[first : first + limit]])

    def _asked(self, asked: Asked) -> npt.NDArray[np.bool_]:
        chosen = self._of("set", asked.set, self.sets)
        if asked.label is not None:
            chosen &= self._of("label", asked.label, self.labels)
        if asked.given is not None:
            chosen &= self._of("given", asked.given, self.given)
        if asked.right is not None:
            chosen &= (self.labels == self.given) == asked.right
        if asked.rejected is not None:
            if self.rejected is None:
                raise InvalidInput("is not kept with this execution", field="rejected", remedy="Leave it out.")
            chosen &= self.rejected == asked.rejected
        return chosen

    def _sorted(self, places: npt.NDArray[np.int64], order: Order) -> npt.NDArray[np.int64]:
        keys: npt.NDArray[np.float64]
        match order:
            case "place":
                return places
            case "most_unknown":
                keys = -self.reject_scores[places]
            case _:
                sure = self.probabilities if self.probabilities is not None else 1 - self.reject_scores
                keys = np.asarray(sure[places], np.float64) * (-1 if order == "surest" else 1)
        return places[np.argsort(keys, kind="stable")]

    def _of(self, field: str, name: str, values: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        if name not in self.names:
            raise InvalidInput(
                f"there is none called {name[:100]!r}", field=field, remedy="GET …/confusion names them."
            )
        found: npt.NDArray[np.bool_] = values == self.names.index(name)
        return found

    def _ordered(
        self, values: npt.NDArray[np.int32], also: npt.NDArray[np.int32] | None = None
    ) -> npt.NDArray[np.int64]:
        present = np.unique(values if also is None else np.concatenate([values, also]))
        return np.array(sorted(present.tolist(), key=lambda place: (self.names[place] == "noise", self.names[place])))

    def _answer(self, place: int) -> ImageAnswer:
        return ImageAnswer(
            image=int(self.images[place]),
            label=self.names[self.labels[place]],
            given=self.names[self.given[place]],
            probability=None if self.probabilities is None else float(self.probabilities[place]),
            rejected=None if self.rejected is None else bool(self.rejected[place]),
            reject_score=float(self.reject_scores[place]),
        )


def table_of(session: Session, artefacts: Artefacts, experiment_id: str, cell: int, number: int) -> AnswerTable:
    """The answers of an execution.

    Raises:
        NotFound: there is no such execution, or it keeps none.
    """
    execution = execution_of(session, experiment_id, cell, number)
    if execution.samples_digest is None:
        remedy = "Executions whose model is kept keep them (keep_models: all), and those of kind open_set."
        detail = f"execution {number} of cell {cell} keeps no answers to single images"
        raise NotFound(detail, field="execution", remedy=remedy)
    return _read(execution.samples_digest, artefacts.fetch(execution.samples_digest))


def execution_of(session: Session, experiment_id: str, cell: int, number: int) -> Execution:
    """The execution with this number in this cell; raises NotFound without one."""
    found = executions.find(session, experiment_id, cell, number)
    if found is None:
        remedy = "GET /experiments/{id}/executions lists them."
        detail = f"experiment {experiment_id} has no execution {number} in cell {cell}"
        raise NotFound(detail, field="execution", remedy=remedy)
    return found


@lru_cache(maxsize=8)
def _read(_digest: str, file: Path) -> AnswerTable:
    """A table is read once for all cells of its matrix; of 60,000 images it takes two megabytes."""
    wanted = {"set", "image", "label", "called", "given", "probability", "rejected", REJECT_SCORE}
    table = pq.read_table(file, columns=[name for name in pq.read_schema(file).names if name in wanted])
    given = table["given" if "given" in table.column_names else "called"]
    names, (sets, labels, given_places) = _encoded([table["set"], table["label"], given])
    probabilities = table["probability"].to_numpy() if "probability" in table.column_names else None
    rejected = table["rejected"].to_numpy() if "rejected" in table.column_names else None
    return AnswerTable(
        names=names,
        sets=sets,
        images=table["image"].to_numpy(),
        labels=labels,
        given=given_places,
        reject_scores=table[REJECT_SCORE].to_numpy(),
        probabilities=probabilities,
        rejected=rejected,
    )


def _encoded(columns: Sequence[pa.ChunkedArray]) -> tuple[list[str], list[npt.NDArray[np.int32]]]:
    """The texts of some columns, and each column as places among them."""
    whole = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    encoded = whole.combine_chunks().dictionary_encode()
    places: npt.NDArray[np.int32] = encoded.indices.to_numpy()
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return encoded.dictionary.to_pylist(), np.split(places, ends)
