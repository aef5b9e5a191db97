"""What a layout is recognised from, and what it says: which image is of which class and in which part."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from noisegate.data.members import Label, LeftOut, NamedSplit
from noisegate.seeds import derive_seed

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

_SEED = 0


@dataclass(frozen=True)
class Contents:
    """All that an upload holds, but for the pixels.

    Attributes:
        images: their paths, distinct, in the order in which they came.
        labels: what each one's own format says of it; None for images that came as files.
        attachments: text files by path.
        left_out: files that were not read as images.
        empty_folders: folders in which no file lies.
    """

    images: Sequence[str]
    labels: Sequence[Label | None]
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    left_out: Sequence[LeftOut] = ()
    empty_folders: Sequence[str] = ()


class Assigned(NamedTuple):
    """What a layout says of one image: a tuple, as there is one an image, and frozen dataclasses take longer to make.

    `index` is its place in `Contents.images`; `name` tells it from others of its class.

    `split` is None where the layout has no parts: the images are split then.
    """

    index: int  # type: ignore[assignment]  # and not the method of tuples
    class_name: str
    split: NamedSplit | None
    name: str


@dataclass(frozen=True)
class Recognised:
    """A layout that fits. Images that are not among `images` stand in `left_out`, with the reason.

    Attributes:
        layout: in words, for the report: `class folders in train and val`.
        notes: sentences about what was taken for what, where another reading was possible.
        used: the attachments that said it.
        rename: the remedy for a name that no class may have.
    """

    layout: str
    images: Sequence[Assigned]
    left_out: Sequence[LeftOut] = ()
    notes: Sequence[str] = ()
    used: Collection[str] = ()
    rename: str = "Rename the folder."


class Placed(NamedTuple):
    """Where one image belongs; `index` is its place in the sequence that was given."""

    index: int  # type: ignore[assignment]  # as above
    split: Split
    class_name: str
    name: str

    @property
    def rank(self) -> tuple[int, str, str]:
        """Its place in the fixed shuffle of its split: as good as random, and the same whatever else is there."""
        return derive_seed(_SEED, "shuffle", self.split, self.class_name, self.name), self.class_name, self.name


@dataclass(frozen=True)
class BaseClasses:
    """The classes of a data set to which images are added; `trained` are those with training images, as all test classes are."""

    name: str
    classes: frozenset[str]
    trained: frozenset[str]


@dataclass(frozen=True)
class Layout:
    """All images, in their final order: train before test, shuffled within each; classes in the order of the labels."""

    classes: tuple[str, ...]
    images: tuple[Placed, ...]
    layout: str = ""
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
