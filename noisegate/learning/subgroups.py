"""Which training images a subgroup takes: index arithmetic on what a base execution says of each of them (section 5.1).

*Confidence* is the largest probability of a correctly classified image, *spuriousness* that of a misclassified one.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64, Int64

from noisegate.spec import SubgroupSpec


@dataclass(frozen=True)
class ScoredImages:
    """What a base execution says of training images, in the dataset's order. Probabilities lie in 0 … 1.

    A prediction of the noise class, which a base without noise never makes, is the number after the last class.
    """

    labels: Int64[np.ndarray, " n"]
    predictions: Int64[np.ndarray, " n"]
    largest: Float64[np.ndarray, " n"]
    of_true_class: Float64[np.ndarray, " n"]

    @property
    def correct(self) -> Bool[np.ndarray, " n"]:
        correct: Bool[np.ndarray, " n"] = self.predictions == self.labels
        return correct

    def of(self, indices: Int64[np.ndarray, " m"]) -> "ScoredImages":
        """The same for some of the images, in the order of `indices`."""
        return ScoredImages(
            self.labels[indices], self.predictions[indices], self.largest[indices], self.of_true_class[indices]
        )


@dataclass(frozen=True)
class Subgroup:
    """The chosen images, an image as often as it counts. `correct` and `wrong` are None for a control."""

    indices: Int64[np.ndarray, " size"]
    correct: int | None
    wrong: int | None

    @property
    def repeated_draws(self) -> int:
        """How many of `indices` have occurred before; two images that look alike are two."""
        return len(self.indices) - len(np.unique(self.indices))


def choose_subgroup(spec: SubgroupSpec, scored: ScoredImages, seed: int) -> Subgroup:
    """The subgroup of `scored` that `spec` asks for, or its control; indices into `scored`.

    Args:
        seed: decides what a control draws; the subgroups themselves leave nothing to chance.

    Raises:
        InvalidSpec: there is no correctly classified image to choose from, or no misclassified one.
    """
    correct, wrong = _order(spec, scored)
    chosen = np.concatenate([correct, wrong])
    if spec.control is None:
        return Subgroup(chosen, len(correct), len(wrong))
    generator = np.random.default_rng(seed)
    if spec.control == "random":
        return Subgroup(_draw(np.arange(len(scored.labels)), len(chosen), generator), None, None)
    parts = [
        _draw(np.flatnonzero(scored.labels == name), int((scored.labels[chosen] == name).sum()), generator)
        for name in np.unique(scored.labels)
    ]
    return Subgroup(np.concatenate(parts), None, None)


def subgroup_size(spec: SubgroupSpec, *, correct: int, wrong: int) -> int:
    """How many draws the subgroup has, given how many images the base classifies correctly and not."""
    return _share(spec.fraction, correct) + _share(spec.fraction, wrong)


def _order(spec: SubgroupSpec, scored: ScoredImages) -> tuple[Int64[np.ndarray, " c"], Int64[np.ndarray, " w"]]:
    """The correct and the wrong part."""
    correct, wrong = np.flatnonzero(scored.correct), np.flatnonzero(~scored.correct)
    spec.check_counts(correct=len(correct), wrong=len(wrong))
    rising_correct = correct[np.argsort(scored.largest[correct], kind="stable")]
    rising_wrong = wrong[np.argsort(scored.largest[wrong], kind="stable")]
    if spec.selection == "as_published":
        # The script sorts vectors over all images, in which those of the other kind are 0 and so come first, in file
        # order: lc begins with misclassified images, ls with correctly classified ones.
        rising_correct = np.concatenate([wrong, rising_correct])
        rising_wrong = np.concatenate([correct, rising_wrong])
    sizes = _share(spec.fraction, len(correct)), _share(spec.fraction, len(wrong))
    return (
        _end_of(rising_correct, sizes[0], low=spec.correct == "lc"),
        _end_of(rising_wrong, sizes[1], low=spec.wrong == "ls"),
    )


def _end_of(rising: Int64[np.ndarray, " n"], size: int, *, low: bool) -> Int64[np.ndarray, " size"]:
    return rising[:size] if low else rising[len(rising) - size :]


def _share(fraction: float, count: int) -> int:
    """round(fraction · count), halves up as MATLAB does; exact, as 0.35 · 10 is 3.5 to a reader and less to a float."""
    return int(Fraction(repr(fraction)) * count + Fraction(1, 2))


def _draw(pool: Int64[np.ndarray, " n"], size: int, generator: np.random.Generator) -> Int64[np.ndarray, " size"]:
    """`size` of the pool without replacement; only a size beyond the pool's makes it start over."""
    rounds = -(-size // len(pool)) if size else 0
    drawn = [generator.permutation(pool) for _ in range(rounds)]
    return np.concatenate([*drawn, pool[:0]])[:size]
