"""The table of samples: one row a training image, the lowest value first, with all measures and the reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from noisegate.api.samples import FACTS, TableFacts
from noisegate.evaluation.sample_value.in_features import InFeatures
from noisegate.evaluation.sample_value.label_issues import LabelIssues
from noisegate.evaluation.sample_value.over_executions import Aggregated
from noisegate.evaluation.sample_value.value import value_of
from noisegate.spec.reasons import REASONS, Reason

_MEASURES = ("mean", "spread", "spread_executions", "correct", "forgotten", "aum", "el2n", "above_noise")
_CALLED = {"mean": "probability", "spread": "spread_epochs"}
_IN_FEATURES = ("neighbour_distance", "neighbour_agreement", "left_out")
_HALF = 0.5


@dataclass(frozen=True)
class Inspected:
    """What the inspection of a dataset says of its training images.

    Attributes:
        copies: places of other images that are the same picture, −1 for none, by the kind of copy.
        pictures: brightness and the like.
        trouble: which images have which trouble.
    """

    copies: Mapping[str, Int64[np.ndarray, " n"]]
    pictures: Mapping[str, np.ndarray]
    trouble: Mapping[Reason, Bool[np.ndarray, " n"]]


def make_table(
    labels: Int64[np.ndarray, " n"],
    classes: Sequence[str],
    names: Sequence[str] | None,
    found: Aggregated,
    issues: LabelIssues,
    around: InFeatures | None,
    inspected: Inspected,
    facts: TableFacts,
) -> pa.Table:
    """The table, with what it was made of in its metadata.

    Args:
        names: of the images' files; None where they are not known.
        around: what the images' features say; None where there are none.
    """
    held = found.held[np.arange(len(labels)), labels]
    witnesses = [around.by_neighbours, around.left_out] if around else []
    if issues.basis == "out_of_sample":  # of some images alone, it would set them apart from the others
        witnesses.append(held)
    value = value_of(found.mean, witnesses)
    # Images of which nothing is known come last; those of one value in the order of the dataset.
    order = np.argsort(np.where(np.isnan(value), np.inf, value), kind="stable")
    measures = {_CALLED.get(name, name): _numbers(getattr(found, name)) for name in _MEASURES}
    named = np.array(classes, dtype=object)
    columns: dict[str, pa.Array] = {
        "image": pa.array(np.arange(len(labels)), pa.int64()),
        "name": pa.array(names if names is not None else [None] * len(labels), pa.string()),
        "label": pa.array(named[labels]),
        "suggested": pa.array(named[issues.suggested]),
        "value": _numbers(value),
        "reasons": pa.array(_reasons(found, issues, around, inspected), pa.list_(pa.string())),
        "executions": pa.array(found.executions, pa.int32()),
        **measures,
        "out_of_sample": _numbers(held),
        "label_quality": _numbers(issues.quality),
        "confidence": _numbers(issues.confidence),
        **_in_features(around, len(labels)),
        **{name: pa.array(places, pa.int64(), mask=places < 0) for name, places in inspected.copies.items()},
        **{name: _numbers(values) for name, values in inspected.pictures.items()},
    }
    table = pa.table(columns).take(pa.array(order))
    return table.replace_schema_metadata({FACTS: facts.model_dump_json().encode()})


def _numbers(values: np.ndarray) -> pa.Array:
    """Float32; NaN is null."""
    return pa.array(values.astype(np.float32), from_pandas=True)


def _in_features(around: InFeatures | None, images: int) -> dict[str, pa.Array]:
    if around is None:
        return dict.fromkeys(_IN_FEATURES, pa.nulls(images, pa.float32()))
    columns = (around.neighbours.distance, around.neighbours.agreement, around.left_out)
    return {name: _numbers(column) for name, column in zip(_IN_FEATURES, columns, strict=True)}


def _reasons(
    found: Aggregated, issues: LabelIssues, around: InFeatures | None, inspected: Inspected
) -> list[list[str]]:
    trained = found.executions > 0
    with np.errstate(invalid="ignore"):
        flags: dict[Reason, Any] = {
            "label_issue": issues.issue,
            "illusive": trained & ~found.learnt & ~np.isnan(found.mean),
            "below_noise": found.above_noise < 0 if _tells(found) else None,
            "copy_of_other_class": inspected.copies["other_class_copy"] >= 0,
            "copy_in_test": inspected.copies["test_copy"] >= 0,
            "exact_copy": inspected.copies["exact_copy_of"] >= 0,
            "near_copy": inspected.copies["near_copy_of"] >= 0,
            "outlier": around.neighbours.outlier if around else None,
            **inspected.trouble,
        }
    listed: list[list[str]] = [[] for _ in trained]
    for name in REASONS:
        if flags[name] is not None:
            for place in np.flatnonzero(flags[name]):
                listed[place].append(name)
    return listed


def _tells(found: Aggregated) -> bool:
    """Whether noise images are hard enough to say anything: drawn ones are often learnt sooner than any photograph."""
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(found.above_noise)
        return bool(known.any()) and float((found.above_noise[known] < 0).mean()) < _HALF
