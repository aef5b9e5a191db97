"""The scores of each test image of an execution, as Parquet: a row an image."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float64, Int64

from noisegate.class_names import NOISE_CLASS


class Judgements(Protocol):
    """What is said of the images of one set: see `noisegate.evaluation.open_set.Judged`."""

    @property
    def unknownness(self) -> Mapping[str, Float64[np.ndarray, " n"]]: ...
    @property
    def rejected(self) -> Mapping[str, Bool[np.ndarray, " n"]]: ...
    @property
    def called(self) -> Int64[np.ndarray, " n"]: ...
    @property
    def given(self) -> Int64[np.ndarray, " n"]: ...
    @property
    def probability(self) -> Float64[np.ndarray, " n"]: ...
    @property
    def decided(self) -> Bool[np.ndarray, " n"]: ...


class SampleTable:
    """Rows of images, set after set.

    Columns: `set` (`known`, `held_out`, or the name of a dataset), `image` (its place in its dataset, training images first),
    `label` (its own class), `called` (the most probable known class), `correct` (null for unknown images), `given` (what it was
    given: `called`, or `noise`), `probability` (of that, float32), `rejected` (by the rule that decides, at the default budget);
    for each score a float64 column of its name that is higher for more unknown images, and `SCORE_rejects` (null without a
    holdout).
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = list(classes)
        self._parts: list[pa.Table] = []

    def add(self, name: str, places: Int64[np.ndarray, " n"], labels: Sequence[str], judged: Judgements) -> None:
        """The images of one set; those of `known` are right or wrong."""
        called = [self._classes[position] for position in judged.called]
        correct = [own == other for own, other in zip(labels, called, strict=True)] if name == "known" else None
        columns: dict[str, Any] = {
            "set": pa.array([name] * len(places), pa.string()),
            "image": pa.array(places, pa.int64()),
            "label": pa.array(labels, pa.string()),
            "called": pa.array(called, pa.string()),
            "correct": pa.array(correct if correct is not None else [None] * len(places), pa.bool_()),
        }
        outputs = [*self._classes, NOISE_CLASS]
        columns |= {
            "given": pa.array([outputs[position] for position in judged.given], pa.string()),
            "probability": pa.array(judged.probability, pa.float32()),
            "rejected": pa.array(judged.decided, pa.bool_()),
        }
        columns |= dict(_scores(judged, len(places)))
        self._parts.append(pa.table(columns))

    def to_parquet(self) -> bytes:
        """The file's bytes; the same rows give the same bytes."""
        written = io.BytesIO()
        pq.write_table(pa.concat_tables(self._parts), written, compression="zstd")
        return written.getvalue()


def _scores(judged: Judgements, count: int) -> Iterator[tuple[str, pa.Array]]:
    for name, values in judged.unknownness.items():
        yield name, pa.array(values, pa.float64())
        rejected = judged.rejected.get(name)
        yield f"{name}_rejects", pa.array([None] * count if rejected is None else rejected, pa.bool_())
