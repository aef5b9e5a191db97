"""Reading the scores of every test image that executions have kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from noisegate.later import Later
from noisegate.store.artefacts import Artefacts

if TYPE_CHECKING:
    import pyarrow as pa
pq: Any = Later("pyarrow.parquet")

KNOWN = "known"
_REJECTS = "_rejects"
_NO_SCORES = {"set", "image", "label", "called", "correct", "given", "probability", "rejected"}


@dataclass(frozen=True)
class SampleScores:
    """One execution's scores of the images of one set: by score, higher = more unknown; `correct` of known images."""

    scores: Mapping[str, npt.NDArray[np.float64]]
    correct: npt.NDArray[np.bool_]


def read_samples(
    artefacts: Artefacts, kept: Sequence[tuple[int, int, str]]
) -> dict[int, list[dict[str, SampleScores]]]:
    """What each execution said of each set of images, by the cell's position, in the order of the executions.

    Args:
        kept: cell, number and digest of each execution's file.

    Raises:
        FileNotFoundError: the artefact root is not the one that they were written to.
    """
    found: dict[int, list[dict[str, SampleScores]]] = {}
    for cell, _, digest in kept:
        found.setdefault(cell, []).append(_of_execution(pq.read_table(artefacts.fetch(digest))))
    return found


def _of_execution(table: pa.Table) -> dict[str, SampleScores]:
    sets = np.array(table["set"].to_pylist())
    names = [name for name in table.column_names if name not in _NO_SCORES and not name.endswith(_REJECTS)]
    columns = {name: table[name].to_numpy() for name in names}
    correct = np.array([bool(value) for value in table["correct"].to_pylist()])
    return {
        name: SampleScores(
            {score: values[sets == name] for score, values in columns.items()},
            correct[sets == name] if name == KNOWN else np.empty(0, dtype=np.bool_),
        )
        for name in dict.fromkeys(sets.tolist())
    }
