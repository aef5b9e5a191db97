"""What a spec is told of the things that it names: plain numbers, so that it knows no rows."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset that is ready. `test_counts` holds the number of test images of each class."""

    name: str
    image_size: int
    classes: tuple[str, ...]
    train_count: int
    test_counts: Mapping[str, int]

    @property
    def mean_class_size(self) -> float:
        """Mean number of training images a class: the unit of noise quantity."""
        return self.train_count / len(self.classes)


@dataclass(frozen=True)
class BaseFacts:
    """How many training images a base execution classifies correctly, and how many not."""

    correct: int
    wrong: int
