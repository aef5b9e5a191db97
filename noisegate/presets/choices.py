"""What a preset chooses by facts of the dataset, and the reason in one sentence.

A choice is a part of a spec with conditions; the first one of a preset that fits the dataset is taken. What the request names
itself, a network, a recipe or what thresholds come from, narrows the choices to those that agree with it, and wins over the one
that is taken.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, JsonValue

from noisegate.documents import Document
from noisegate.spec.facts import DatasetFacts


class Choice(Document):
    """What was chosen."""

    name: str = Field(description="Never changes; made for programs.")
    title: str
    reason: str = Field(description="One sentence, with the numbers that decided.")


class Condition(Document):
    """What must hold of a dataset, all of it; of what is not given nothing is asked. Sides are in pixels."""

    originals: bool | None = Field(None, description="Whether its original files were kept.")
    packed_from: int | None = Field(None, description="Least side at which it was packed.")
    side_above: int | None = Field(None, description="The median longer side of its originals is above this.")
    images_from: int | None = Field(None, description="It has as many training images or more.")
    images_below: int | None = Field(None, description="It has fewer training images.")

    def holds(self, facts: DatasetFacts) -> bool:
        """Whether the dataset meets it."""
        return (
            self.originals in (None, facts.has_originals)
            and facts.image_size >= (self.packed_from or 0)
            and typical_side(facts) > (self.side_above or 0)
            and facts.train_count >= (self.images_from or 0)
            and facts.train_count < (self.images_below or math.inf)
        )

    def clauses(self, facts: DatasetFacts | None) -> Iterator[str]:
        """In words: of this dataset with its numbers, or without one as what is asked."""
        if self.originals and facts is None:
            yield "its original files were kept"
        if self.packed_from is not None:
            found = f"{facts.image_size} pixels a side, " if facts else ""
            yield f"it was packed at {found}{self.packed_from} or more{'' if facts else ' pixels a side'}"
        if self.side_above is not None:
            found = f"{typical_side(facts):,} pixels, " if facts else ""
            yield f"the median longer side of its images is {found}above {self.side_above}"
        if self.images_from is not None:
            yield f"it has {_count(facts)}training images, {self.images_from:,} or more"
        if self.images_below is not None:
            yield f"it has {_count(facts)}training images, fewer than {self.images_below:,}"


class Option(Document):
    """One of the things that a preset may choose."""

    name: str
    title: str
    when: list[Condition] = Field(description="It fits a dataset of which one of these holds; none: every dataset.")
    spec: dict[str, JsonValue] = Field(description="What it adds to the preset's spec.")
    noise_images: int | None = Field(
        None, description="At most this many noise images: noise.quantity is lowered for larger datasets."
    )

    @property
    def backbone(self) -> bool:
        """Whether its network is a backbone."""
        return isinstance(self.spec.get("network"), dict)

    @property
    def network(self) -> str:
        """The name of its network, if that is no backbone."""
        return str(self.spec.get("network", "paper"))

    @property
    def recipe(self) -> str:
        """The recipe of its training."""
        training = self.spec.get("training")
        return str(training.get("recipe", "paper")) if isinstance(training, dict) else "paper"

    @property
    def cross_validated(self) -> bool:
        """Whether its threshold comes from cross-validation."""
        return self.spec.get("calibration") == "cross_validated"

    def holding(self, facts: DatasetFacts) -> Condition | None:
        """The first of its conditions that the dataset meets."""
        return next((condition for condition in self.when if condition.holds(facts)), None)

    @property
    def conditions(self) -> str:
        """When it is taken, in words."""
        told = [" and ".join(condition.clauses(None)) for condition in self.when]
        return "; or ".join(told) if told else "none of the others fits"

    def spec_for(self, facts: DatasetFacts) -> dict[str, Any]:
        """What it adds to the spec for a dataset."""
        # Without original files there is nothing to decode again: the pixels are those that were packed.
        spec = {name: value for name, value in self.spec.items() if name != "decoding" or facts.has_originals}
        limited, noise = self.limited_noise(facts), spec.get("noise")
        if limited is None or not isinstance(noise, dict):
            return spec
        return {**spec, "noise": {**noise, "quantity": limited}}

    def limited_noise(self, facts: DatasetFacts) -> float | None:
        """The quantity of noise that makes `noise_images`, if its own makes more of this dataset."""
        noise = self.spec.get("noise")
        if self.noise_images is None or not isinstance(noise, dict):
            return None
        most = math.floor(10_000 * self.noise_images / facts.mean_class_size) / 10_000
        asked = noise["quantity"]
        assert isinstance(asked, int | float), "a quantity is a number"
        return most if most < asked else None


@dataclass(frozen=True)
class Taken:
    """The option that was taken, and why."""

    option: Option
    choice: Choice


def take(options: Sequence[Option], asked: Mapping[str, Any], facts: DatasetFacts) -> Taken:
    """The option for a dataset.

    Args:
        options: at least one; the last fits every dataset that the others do not.
        asked: the fields that the request gives itself.
    """
    agreeing = agreeing_with(options, asked)
    because = [f"the request asks for {_named(asked)}"] if len(agreeing) < len(options) else []
    option = next((option for option in agreeing if option.holding(facts)), agreeing[-1])
    if (condition := option.holding(facts)) is not None:
        because += condition.clauses(facts)
    because = because or [f"nothing else fits a dataset that {_in_numbers(facts)}"]
    if "noise" not in asked and (limited := option.limited_noise(facts)) is not None:
        because.append(f"noise.quantity is {limited:g}, so that noise images are at most {option.noise_images:,}")
    return Taken(option, Choice(name=option.name, title=option.title, reason=f"{option.title}: {'; '.join(because)}."))


def agreeing_with(options: Sequence[Option], asked: Mapping[str, Any]) -> Sequence[Option]:
    """Those that go with the network, the recipe and the source of thresholds that a request names; all of them if none does, or
    it names nothing of that.
    """
    network, training = asked.get("network"), asked.get("training")
    if isinstance(network, Mapping):
        options = [option for option in options if option.backbone] or options
    elif network is not None:
        without = [option for option in options if not option.backbone]
        # The paper's recipe is the paper's network's own.
        others = [option for option in without if option.recipe != "paper"] or without
        options = [option for option in without if option.network == network] or others or options
    recipe = training.get("recipe") if isinstance(training, Mapping) else None
    options = [option for option in options if option.recipe == recipe] or options
    if asked.get("calibration") == "cross_validated":
        return [option for option in options if option.cross_validated] or options
    if _against_cross_validation(asked):
        return [option for option in options if not option.cross_validated] or options
    return options


_AGAINST_CROSS_VALIDATION = {"calibration": "calibration holdout", "holdout": "a holdout", "subgroup": "a subgroup"}


def _against_cross_validation(asked: Mapping[str, Any]) -> list[str]:
    """The fields of a request that do not go with cross-validation, swept ones too."""
    sweep = asked.get("sweep")
    given = {**asked, **(sweep if isinstance(sweep, Mapping) else {})}
    return [name for name in _AGAINST_CROSS_VALIDATION if given.get(name)]


def typical_side(facts: DatasetFacts) -> int:
    """The median longer side of the originals; where that is not known, the side that it was packed at."""
    return facts.longer_side or facts.image_size


def _named(asked: Mapping[str, Any]) -> str:
    network, training = asked.get("network"), asked.get("training")
    told = []
    if network is not None:
        told.append(f"the backbone {network.get('backbone')}" if isinstance(network, Mapping) else f"network {network}")
    if isinstance(training, Mapping) and "recipe" in training:
        told.append(f"recipe {training['recipe']}")
    if asked.get("calibration") == "cross_validated":
        told.append("cross-validation")
    else:
        told += [_AGAINST_CROSS_VALIDATION[name] for name in _against_cross_validation(asked)]
    return " and ".join(told)


def _in_numbers(facts: DatasetFacts) -> str:
    kept = "" if facts.has_originals else " without its original files"
    return f"has {facts.train_count:,} training images and was packed at {facts.image_size} pixels a side{kept}"


def _count(facts: DatasetFacts | None) -> str:
    return f"{facts.train_count:,} " if facts else ""
