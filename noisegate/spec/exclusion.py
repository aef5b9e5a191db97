"""Training on some of the training images, or without some, chosen by what an earlier experiment has recorded of each."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from noisegate.documents import MOST, ParsedBy, Strict, wrong_field
from noisegate.spec.experiment import Line
from noisegate.spec.reasons import Reason
from noisegate.spec.subgroups import SubgroupSpec

Control = Literal["random", "stratified"]

_USUAL_BUDGET = 0.05
ImageId = Annotated[int, Field(ge=0, le=2**40)]


class Exclusion(Strict):
    """Training images that are left out: by reason, by id, or the share of them with the lowest value.

    Without any of the three it is the lowest 5 %.
    """

    samples: Line | None = Field(
        None,
        description="The experiment whose table of samples chooses (record samples), on the same dataset. Not needed with ids.",
    )
    cell: int | None = Field(
        None, ge=0, le=MOST, description="By the executions of this cell of it; null for all of them."
    )
    reasons: list[Reason] = Field(
        [], max_length=20, description="Images that have one of these reasons.", exclude_if=lambda reasons: not reasons
    )
    ids: list[ImageId] = Field(
        [],
        max_length=MOST,
        description="Images by their ids: their places among the dataset's training images.",
        exclude_if=lambda ids: not ids,
    )
    budget: float | None = Field(
        None, gt=0, lt=1, description="The share of the training images with the lowest value."
    )
    control: Control | None = Field(
        None,
        description="Instead of these, as many images at random (random), or as many at random of each class (stratified): what "
        "training on fewer images alone would do.",
    )

    @model_validator(mode="after")
    def _check_one_way(self) -> "Exclusion":
        given = [name for name in ("reasons", "ids", "budget") if getattr(self, name)]
        if len(given) > 1:
            message = f"is given beside {given[0]}"
            raise wrong_field(given[1], getattr(self, given[1]), message, "Choose by one of reasons, ids and budget.")
        return self

    @property
    def by_value(self) -> float | None:
        """The share with the lowest value; None where reasons or ids choose."""
        return None if self.reasons or self.ids else (self.budget or _USUAL_BUDGET)


class SampleSubgroup(Strict):
    """Training on the easy, the ambiguous or the hard part of the training images alone. The holdout stays what it is."""

    samples: Line = Field(min_length=1, description="The experiment whose table of samples chooses (record samples).")
    cell: int | None = Field(
        None, ge=0, le=MOST, description="By the executions of this cell of it; null for all of them."
    )
    keep: Literal["ambiguous", "easy", "hard"] = Field(
        description="ambiguous: the label's probability varies most over the epochs; easy: it is highest in the mean; hard: lowest."
    )
    fraction: float = Field(gt=0, le=1, description="The share that is taken of the images of which that is known.")
    control: Control | None = Field(
        None,
        description="Instead of these, as many images at random (random), or as many at random of each class (stratified).",
    )


_BY_BASE: TypeAdapter[SubgroupSpec] = TypeAdapter(SubgroupSpec)
_BY_SAMPLES: TypeAdapter[SampleSubgroup] = TypeAdapter(SampleSubgroup)
_EITHER: TypeAdapter[SubgroupSpec | SampleSubgroup | None] = TypeAdapter(SubgroupSpec | SampleSubgroup | None)
_OF_SAMPLES = frozenset({"samples", "keep"})


def subgroup_of(value: Any) -> SubgroupSpec | SampleSubgroup | None:
    """The kind that the fields of a document belong to."""
    if value is None:
        return None
    by_samples = isinstance(value, SampleSubgroup) or (isinstance(value, Mapping) and bool(_OF_SAMPLES & value.keys()))
    return (_BY_SAMPLES if by_samples else _BY_BASE).validate_python(value)


AnySubgroup = Annotated[SubgroupSpec | SampleSubgroup | None, ParsedBy(subgroup_of, _EITHER)]
