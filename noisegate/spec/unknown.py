"""Datasets whose images are of none of the known classes: what a spec says of them, and what it may not."""

from collections.abc import Iterator, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from noisegate.documents import MOST, Strict, wrong_field
from noisegate.errors import FieldError
from noisegate.spec.experiment import Line
from noisegate.spec.facts import DatasetFacts


class OtherClasses(Strict):
    """Images of another dataset, none of which is of a known class."""

    dataset: Line = Field(min_length=1, description="Id or name of a dataset.")
    exclude: list[Line] = Field(
        [],
        max_length=MOST,
        description="Classes of it that are left out: known ones, also where they have other names.",
    )
    only: list[Line] | None = Field(
        None,
        min_length=1,
        max_length=MOST,
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda only: only is None,
        description="The classes of it that are taken, in place of all that are not left out; null for all of those.",
    )

    @model_validator(mode="after")
    def _in_one_way(self) -> Self:
        if self.only is not None and self.exclude:
            raise wrong_field(
                "only", self.only, "is given, and exclude, too", "Say which classes in one of the two ways."
            )
        return self

    def unfit(self, field: str, other: DatasetFacts, known: Sequence[str]) -> Iterator[FieldError]:
        """What speaks against taking the dataset for unknown.

        Args:
            field: the path of this object in the spec.
            other: the dataset that it names.
            known: the classes that are trained on.
        """
        way = "exclude" if self.only is None else "only"
        if strangers := [name for name in self.only or self.exclude if name not in other.classes]:
            message = f"dataset {other.name!r} has no class {' and no class '.join(map(repr, strangers[:5]))}"
            yield FieldError(f"{field}.{way}", message, f"Its classes: {', '.join(other.classes[:20])}.")
        taken = self.taken_of(other.classes)
        folded = {name.casefold() for name in known}
        if shared := [name for name in taken if name.casefold() in folded]:
            message = f"dataset {other.name!r} has classes that are known ones by name: {', '.join(shared[:20])}"
            verb = "Exclude them" if self.only is None else "Leave them out"
            yield FieldError(f"{field}.{way}", message, f"{verb}: {', '.join(shared[:20])}.")
        elif not taken and self.only is None:
            yield FieldError(f"{field}.exclude", f"leaves no class of dataset {other.name!r}", "Exclude fewer.")

    def taken_of(self, classes: Sequence[str]) -> list[str]:
        """Those of the dataset's classes that are asked for."""
        if self.only is not None:
            return [name for name in classes if name in set(self.only)]
        return [name for name in classes if name not in set(self.exclude)]


class UnknownSet(OtherClasses):
    """Unknown images that each score is measured on."""

    distance: Literal["near", "far"] = Field(
        "far", description="What you hold of it: near unknowns resemble the known classes. Results are told by it."
    )
    part: Literal["test", "all"] = Field("test", description="Its test images alone, or its training images, too.")

    def unfit(self, field: str, other: DatasetFacts, known: Sequence[str]) -> Iterator[FieldError]:
        found = list(super().unfit(field, other, known))
        yield from found
        if not found and self.part == "test" and not any(map(other.test_counts.get, self.taken_of(other.classes))):
            message = f"dataset {other.name!r} has no test image of the classes that are taken"
            yield FieldError(f"{field}.part", message, 'Take more of its classes, or give part "all".')


class DeclaredUnknown(OtherClasses):
    """Unknown images that the decision rule is chosen by: training images of a dataset, whose test images stay for measuring."""

    def unfit(self, field: str, other: DatasetFacts, known: Sequence[str]) -> Iterator[FieldError]:
        found = list(super().unfit(field, other, known))
        yield from found
        if not found and not any(map(other.train_counts.get, self.taken_of(other.classes))):
            message = f"dataset {other.name!r} has no training image of the classes that are taken"
            way = "exclude" if self.only is None else "only"
            yield FieldError(f"{field}.{way}", message, "Take more of its classes, or name another dataset.")
