"""What a spec is told of the things that it names: plain numbers, so that it knows no rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset that is ready.

    Attributes:
        image_size: pixels a side at which it was packed, by stretching.
        test_counts: the number of test images of each class.
        train_counts: the number of training images of each class; empty if it was not counted.
        has_originals: whether its original files were kept, so that it can be had at other sizes.
        longer_side: the median over its original images, in pixels; None if it was not noted when they came.
    """

    name: str
    image_size: int
    classes: tuple[str, ...]
    train_count: int
    test_counts: Mapping[str, int]
    has_originals: bool = False
    longer_side: int | None = None
    train_counts: Mapping[str, int] = field(default_factory=dict)

    def only(self, classes: Sequence[str]) -> "DatasetFacts":
        """The same with these of its classes alone."""
        train_counts = {name: self.train_counts.get(name, 0) for name in classes}
        test_counts = {name: self.test_counts.get(name, 0) for name in classes}
        count = sum(train_counts.values())
        return replace(
            self, classes=tuple(classes), train_count=count, train_counts=train_counts, test_counts=test_counts
        )

    @property
    def mean_class_size(self) -> float:
        """Mean number of training images a class: the unit of noise quantity."""
        return self.train_count / len(self.classes)


@dataclass(frozen=True)
class BaseFacts:
    """How many training images a base execution classifies correctly, and how many not."""

    correct: int
    wrong: int
