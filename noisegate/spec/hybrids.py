"""Classifiers asked for hybrids of test images (Figure 6 of the paper)."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from noisegate.documents import Strict
from noisegate.errors import FieldError, InvalidSpec
from noisegate.spec.caps import Caps, Requested
from noisegate.spec.experiment import Line
from noisegate.spec.facts import BaseFacts, DatasetFacts
from noisegate.spec.training import ClassifierExperiment


class HybridCutoffs(Strict):
    """Where the two filters that make a hybrid halve a frequency's amplitude, in cycles an image."""

    low_cutoff: float = Field(4, gt=0, le=4096, description="Of the low-pass filter, in cycles an image.")
    high_cutoff: float = Field(4, gt=0, le=4096, description="Of the high-pass filter, in cycles an image.")


class HybridPairs(HybridCutoffs):
    """Hybrids of test images of two classes: low frequencies of one, high frequencies of the other."""

    # JSON has no tuples: a list is what comes.
    classes: Annotated[tuple[Line, Line], Field(strict=False)] | None = Field(
        None, description="The classes that give the low and the high frequencies; null takes the dataset's first two."
    )
    pairs: int = Field(500, ge=1, le=100_000, description="Drawn with replacement where a class has fewer images.")

    def positions_in(self, known: Sequence[str]) -> tuple[int, int]:
        """The places, among the dataset's classes, of those that give the low and the high frequencies.

        Raises:
            InvalidSpec: naming `hybrids.classes`, if they are not two of them.
        """
        low, high = self.classes or (known[0], known[1])
        unknown = [name for name in (low, high) if name not in known]
        if unknown:
            message = f"the dataset has no class {' and no class '.join(map(repr, unknown))}"
            raise InvalidSpec([FieldError("hybrids.classes", message, f"Choose two of: {', '.join(known)}.")])
        if low == high:
            remedy = "Name two classes: what a hybrid is taken for must tell them apart."
            raise InvalidSpec([FieldError("hybrids.classes", f"names {low!r} twice", remedy)])
        return known.index(low), known.index(high)


class HybridsExperiment(ClassifierExperiment):
    """Train classifiers, then ask them for hybrids of test images: how often is one accepted, and as what? (Figure 6)"""

    kind: Literal["hybrids"] = "hybrids"
    hybrids: HybridPairs = HybridPairs()

    def requested(self, caps: Caps) -> Iterator[Requested]:
        yield from super().requested(caps)
        yield Requested("hybrids.pairs", self.hybrids.pairs, caps.hybrid_pairs)

    def check(self, dataset: DatasetFacts | None, caps: Caps, base: BaseFacts | None) -> None:
        super().check(dataset, caps, base)
        assert dataset is not None, "classifiers are trained on a dataset"
        for name in (dataset.classes[position] for position in self.hybrids.positions_in(dataset.classes)):
            if not dataset.test_counts.get(name):
                message = f"class {name!r} of dataset {dataset.name!r} has no test image"
                raise InvalidSpec([FieldError("hybrids.classes", message, "Name two classes that have some.")])
