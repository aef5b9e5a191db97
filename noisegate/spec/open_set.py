"""Classifiers that are trained on some classes and asked about all of them, and about other datasets: open-set recognition."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, TypeAdapter

from noisegate.documents import MOST, ParsedBy, Strict
from noisegate.errors import FieldError, InvalidSpec
from noisegate.spec.caps import Caps, Requested
from noisegate.spec.experiment import Line
from noisegate.spec.facts import BaseFacts, DatasetFacts
from noisegate.spec.training import NOT_OF_BASES, ClassifierExperiment
from noisegate.spec.unknown import UnknownSet

# What results call the classes of the dataset that are left out of training.
HELD_OUT = "held_out"
_TAKEN_NAMES = (HELD_OUT, "known")


class DrawnClasses(Strict):
    """Known classes that are drawn by chance, in several ways; each way is a cell."""

    count: int = Field(ge=2, le=MOST, description="Known classes; the others are held out.")
    splits: int = Field(1, ge=1, le=1000, description="Ways to draw them. Each becomes a cell of its own.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of the draws; the experiment's own seed does not change them.")
    split: int | None = Field(
        None,
        ge=0,
        lt=1000,
        description="One of the ways, counted from 0; null is all of them.",
    )

    def of(self, classes: Sequence[str]) -> list[str]:
        """The known ones of these classes, in their order. The same names give the same draw, however they are ordered."""
        assert self.split is not None, "one way to draw them"
        ranked = sorted(classes, key=lambda name: _rank(self.seed, self.split, name))
        return [name for name in classes if name in set(ranked[: self.count])]


def _rank(seed: int, split: int | None, name: str) -> bytes:
    return hashlib.sha256(f"known/{seed}/{split}/{name}".encode()).digest()


_NAMES: TypeAdapter[list[str]] = TypeAdapter(Annotated[list[Line], Field(min_length=2, max_length=MOST)])
_EITHER: TypeAdapter[list[str] | DrawnClasses] = TypeAdapter(Annotated[list[Line], Field(min_length=2)] | DrawnClasses)


def _names_or_draw(value: Any) -> list[str] | DrawnClasses:
    if isinstance(value, DrawnClasses):
        return value
    return DrawnClasses.model_validate(value) if isinstance(value, dict) else _NAMES.validate_python(value)


class OpenSetExperiment(ClassifierExperiment):
    """Train on some classes of a dataset, and measure how well each score tells the others, and other datasets, from them.

    Held-out classes take part in nothing but the measuring: neither in training, nor in the holdout, nor in calibration.
    """

    kind: Literal["open_set"] = "open_set"
    not_swept: ClassVar[frozenset[str]] = ClassifierExperiment.not_swept | {"unknown"}

    known: Annotated[list[Line] | DrawnClasses, ParsedBy(_names_or_draw, _EITHER)] = Field(
        description="The classes that are trained on, by name; or how many to draw, and in how many ways."
    )
    unknown: list[UnknownSet] = Field(
        [], max_length=20, description="Other datasets that are unknown, besides the classes that are held out."
    )

    @property
    def implied_sweep(self) -> dict[str, list[JsonValue]]:
        if isinstance(self.known, DrawnClasses) and self.known.split is None:
            return {"known.split": list(range(self.known.splits))}
        return {}

    @property
    def other_datasets(self) -> dict[str, str]:
        return super().other_datasets | {
            f"unknown.{number}.dataset": one.dataset for number, one in enumerate(self.unknown)
        }

    def known_in(self, classes: Sequence[str]) -> list[str]:
        """The names of the classes that a cell is trained on, in the dataset's order."""
        if isinstance(self.known, DrawnClasses):
            return self.known.of(classes)
        return [name for name in classes if name in set(self.known)]

    def requested(self, caps: Caps) -> Iterator[Requested]:
        yield from super().requested(caps)
        if isinstance(self.known, DrawnClasses) and self.known.split is None:
            yield Requested("known.splits", self.known.splits, caps.cells)

    def check(self, dataset: DatasetFacts | None, caps: Caps, base: BaseFacts | None) -> None:
        assert dataset is not None, "classifiers are trained on a dataset"
        self._check_known(dataset)
        names = self.known_in(dataset.classes)
        if not self.unknown and not any(dataset.test_counts.get(one) for one in dataset.classes if one not in names):
            message = f"leaves no class of dataset {dataset.name!r} with test images out: there is nothing unknown to measure on"
            raise InvalidSpec([FieldError("known", message, "Name fewer, or name other datasets as unknown.")])
        if missing := [name for name in names if not dataset.test_counts.get(name)]:
            message = f"has classes without a test image: {', '.join(missing[:5])}"
            raise InvalidSpec([FieldError("known", message, "Name classes that have some.")])
        if self.base is not None:
            message = "is set, and its scores are of images of all classes, those that are held out here among them"
            raise InvalidSpec([FieldError("base", message, "Leave it out: this experiment then trains its own.")])
        super().check(self.facts_of_known(dataset), caps, base)

    def check_others(self, dataset: DatasetFacts, others: Mapping[str, DatasetFacts]) -> None:
        super().check_others(self.facts_of_known(dataset), others)
        known = self.known_in(dataset.classes)
        errors = [
            error
            for number, one in enumerate(self.unknown)
            for error in one.unfit(f"unknown.{number}", others[f"unknown.{number}.dataset"], known)
        ]
        errors += [
            FieldError(
                f"unknown.{number}.dataset",
                f"is {one.dataset!r}, which is what results call other images",
                "Give its id.",
            )
            for number, one in enumerate(self.unknown)
            if one.dataset in _TAKEN_NAMES
        ]
        # By the names of the datasets themselves: a spec may call one by its id, and by its name elsewhere.
        asked = [others[f"unknown.{number}.dataset"].name for number in range(len(self.unknown))]
        seen = {other.name for field, other in others.items() if not field.startswith("unknown.")}
        errors += [
            FieldError(
                f"unknown.{number}.part",
                "is all, and training images of the same are noise, or choose the rule",
                "Give test: test images are for measuring alone.",
            )
            for number, name in enumerate(asked)
            if self.unknown[number].part == "all" and name in seen
        ]
        if len(set(asked)) < len(asked):
            errors.append(FieldError("unknown", "names a dataset twice", "Name each once."))
        if errors:
            raise InvalidSpec(errors)

    @property
    def seeds(self) -> Mapping[str, int]:
        """As every kind, and that of the draws."""
        return {**super().seeds, **({"known.seed": self.known.seed} if isinstance(self.known, DrawnClasses) else {})}

    def facts_of_known(self, dataset: DatasetFacts) -> DatasetFacts:
        """The dataset as training sees it: the known classes alone, of which each has its own number of images."""
        return dataset.only(self.known_in(dataset.classes))

    def training_images(self, dataset: DatasetFacts | None) -> int:
        assert dataset is not None, "classifiers are trained on a dataset"
        return super().training_images(self.facts_of_known(dataset))

    def noise_images(self, dataset: DatasetFacts | None) -> int:
        assert dataset is not None, "classifiers are trained on a dataset"
        return super().noise_images(self.facts_of_known(dataset))

    @property
    def sees_all_classes(self) -> bool:
        return False

    def base_spec(self) -> "OpenSetExperiment":
        """No noise, all training images of the known classes, the rest as in this spec.

        Raises:
            InvalidSpec: its cells have different known classes, so that no one base could choose for all.
        """
        if any(path.split(".")[0] == "known" for path in self.sweep | self.implied_sweep) and self.count_cells() > 1:
            message = (
                "is set, and the cells have different known classes: one base execution cannot choose for all of them"
            )
            remedy = "Post one experiment for each split (known.split), or leave the subgroup out."
            raise InvalidSpec([FieldError("subgroup", message, remedy)])
        shared = set(type(self).model_fields) - NOT_OF_BASES
        document = self.model_dump(mode="json", include=shared)
        if isinstance(self.known, DrawnClasses):
            document["known"]["split"] = self.known.split or 0
        return type(self).model_validate(document)

    def _check_known(self, dataset: DatasetFacts) -> None:
        listed = ", ".join(dataset.classes[:20])
        if isinstance(self.known, DrawnClasses):
            if self.known.split is None:
                message, remedy = (
                    "draws classes in several ways within a sweep of it",
                    "Sweep known.count or known.seed.",
                )
                raise InvalidSpec([FieldError("known", message, remedy)])
            if self.known.count > len(dataset.classes):
                message = f"is {self.known.count}, and dataset {dataset.name!r} has {len(dataset.classes)} classes"
                raise InvalidSpec([FieldError("known.count", message, f"Give at most {len(dataset.classes)}.")])
            return
        if strangers := [name for name in self.known if name not in dataset.classes]:
            message = f"dataset {dataset.name!r} has no class {' and no class '.join(map(repr, strangers[:5]))}"
            raise InvalidSpec([FieldError("known", message, f"Its classes: {listed}.")])
        if len(set(self.known)) < len(self.known):
            raise InvalidSpec([FieldError("known", "names a class twice", "Name each once.")])
