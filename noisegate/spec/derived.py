"""What can be made of a dataset and kept: views of its images, and whatever else follows from them. Parameters alone.

A kind is a subclass of `DerivedSpec` and an entry in `DERIVED`; who makes it stands in `worker.derived`. A spec says which of
them its cells need (`ExperimentBase.needed`), and none of its executions starts before that is there.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from pydantic import Field

from noisegate.documents import OneOf, Strict
from noisegate.networks.backbones import backbone_of
from noisegate.spec.formats import format_of

Resize = Literal["stretch", "crop", "pad"]
Interpolation = Literal["bilinear", "bicubic"]
Decoding = Literal["full", "scaled"]
Precision = Literal["float32", "int8"]
Layers = Literal["last", "several"]

# Numbers of a pooled vector, about: the catalogue does not know them, and backbones have 192 to 4,096. An image at 224 pixels takes
# some thirty times their bytes.
_POOLED_VALUES = 1280

# Fields of specs, views and manifests. None is written where it is the default: documents read as before there was a choice.
InterpolationField = Annotated[
    Interpolation,
    Field(
        description="How pixels between pixels are made where an image is made a square, antialiased either way.",
        exclude_if=lambda interpolation: interpolation == "bilinear",
    ),
]
CropShare = Annotated[
    float,
    Field(
        ge=0.1,
        le=1,
        description="The share of its sides, about the middle, that the square is made of; 1 for all of it. With resize crop, of "
        "the shorter side. Not with pad.",
        exclude_if=lambda share: share == 1,
    ),
]
DecodingField = Annotated[
    Decoding,
    Field(
        description="scaled: a JPEG that is far larger than the square is decoded at a half or a quarter of its size, which takes "
        "large photographs a third of the time and gives slightly other pixels; full: at its own.",
        exclude_if=lambda decoding: decoding == "full",
    ),
]

PrecisionField = Annotated[
    Precision,
    Field(
        description="What the backbone computes in, in training as in serving. int8: about half the time, a quarter of the size, "
        "nearly the same features; for the recipe linear.",
        exclude_if=lambda precision: precision == "float32",
    ),
]

LayersField = Annotated[
    Layers,
    Field(
        description="What the features are. last: the vector at the end of the backbone. several: beside it the activations of two "
        "earlier stages, averaged over the image, the square roots of each at length 1; of the backbones with fine_tune in "
        "GET /backbones, and for the recipe linear.",
        exclude_if=lambda layers: layers == "last",
    ),
]


@dataclass(frozen=True)
class Fitting:
    """How an image of any size becomes the square that a network takes: in training, views and serving alike."""

    resize: Resize = "stretch"
    interpolation: Interpolation = "bilinear"
    crop_share: float = 1.0
    decoding: Decoding = "full"

    @property
    def is_plain(self) -> bool:
        """Whether it is how datasets are packed when they are uploaded."""
        return self == Fitting()

    def named_members(self) -> Iterator[tuple[str, str]]:
        """What it has that is not the default, as pairs of a field and what it says."""
        for one in fields(self):
            if (value := getattr(self, one.name)) != one.default:
                yield one.name, f"{value}"


class DerivedSpec(Strict):
    """What an artefact is made by, besides what it is made of. Fields that are added later need a default."""

    kind: str

    @property
    def format(self) -> int:
        """Workers that understand it have a FORMAT of at least this (noisegate.spec.formats)."""
        choices = self.model_dump(exclude_defaults=True)
        return format_of([("derived", self.kind), *((self.kind, choice) for choice in choices)])

    def bytes_an_image(self, image_size: int) -> int:  # noqa: ARG002
        """Bytes on the disk of what is made of one image, about; 0 where it is not known.

        Args:
            image_size: pixels a side of the images that it is made of.
        """
        return 0


class View(DerivedSpec):
    """A dataset's images at one size, made squares in one way: `images.npy`, uint8 [n, size, size, 3], training images first."""

    kind: Literal["view"] = "view"
    image_size: int = Field(ge=8, le=4096, description="Pixels a side.")
    resize: Resize = "stretch"
    interpolation: InterpolationField = "bilinear"
    crop_share: CropShare = 1.0
    decoding: DecodingField = "full"

    @property
    def fitting(self) -> Fitting:
        """How an image becomes one of its squares."""
        return Fitting(self.resize, self.interpolation, self.crop_share, self.decoding)

    def bytes_an_image(self, image_size: int = 0) -> int:  # noqa: ARG002
        """Exact; the originals have sizes of their own."""
        return 3 * self.image_size**2


class Features(DerivedSpec):
    """What a backbone computes of a view's images, in the view's order: `features.npy`, float32.

    [n, width] where the whole backbone computes; [n, side, side, channels], its activations, where only its layers up to `upto` do.
    """

    kind: Literal["features"] = "features"
    backbone: str = Field(description="timm's name with the tag.")
    weights: str = Field("default", description="The published weights, or the name of a file of the workers.")
    # Neither is written where it is the default: parameters read as they did before there was a choice.
    upto: str | None = Field(
        None,
        exclude_if=lambda upto: upto is None,
        description="timm's name of the last stage that computes; null for all of them, and the pooled vector.",
    )
    precision: PrecisionField = "float32"
    layers: LayersField = "last"
    flipped: bool = Field(
        False,
        exclude_if=lambda flipped: not flipped,
        description="Also of the training images mirrored left to right: `flipped.npy`, in their order.",
    )

    def bytes_an_image(self, image_size: int) -> int:
        """Of float32 numbers: exact for activations, about for pooled vectors; those of a mirrored image are as many again."""
        cut = backbone_of(self.backbone).cut
        return 4 * (cut.values(image_size) if self.upto and cut else _POOLED_VALUES)


class Inspection(DerivedSpec):
    """What is said of training images without a network: copies, and trouble with the pictures; `inspection.parquet`."""

    kind: Literal["inspection"] = "inspection"


class SampleTable(DerivedSpec):
    """What the executions of an experiment say of each training image, one row an image: `samples.parquet`.

    Made of an inspection.
    """

    kind: Literal["sample_table"] = "sample_table"
    experiment: str
    cell: int | None = Field(None, description="Of this cell's executions alone; null for all that have recorded.")
    records: str = Field(description="SHA-256 of the digests of their records, in the order of cells and executions.")


DERIVED: dict[str, type[DerivedSpec]] = {
    "view": View,
    "features": Features,
    "inspection": Inspection,
    "sample_table": SampleTable,
}

AnyDerived = Annotated[DerivedSpec, OneOf("kind", DERIVED)]


@dataclass(frozen=True)
class Needed:
    """An artefact that a cell reads, and the one that it is made of; None if it is made of the dataset itself."""

    parameters: DerivedSpec
    follows_from: "Needed | None" = None

    @property
    def chain(self) -> "list[Needed]":
        """It and what it follows from, itself first."""
        return [self, *(self.follows_from.chain if self.follows_from else [])]

    def key(self, content_hash: str) -> str:
        """SHA-256 of all that it follows from: two with the same key are the same bytes.

        Args:
            content_hash: the dataset's.
        """
        # Fields at their defaults are left out, so that one that a later version adds changes no key.
        parameters = self.parameters.model_dump(mode="json", exclude_defaults=True)
        source = self.follows_from.key(content_hash) if self.follows_from else content_hash
        described = {"kind": self.parameters.kind, "parameters": parameters, "source": source}
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
