"""A backbone in two parts: early layers that stay as they are, and late ones that go on training.

A part is the whole network of timm with the other part's layers taken out: what is left keeps its names, and timm's own `forward`
runs through it. That is right where layers follow each other in one chain, which is so in the families below.
"""

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from torch import nn


@dataclass(frozen=True)
class _Family:
    """How the networks of one of timm's classes are laid out.

    Attributes:
        chain: their parts in the order in which an image passes through them; `stages.*` are all children of `stages`.
        stage: what the names of stages look like; those that are none lie before the first or after the last.
        trained: how many stages are trained, from the last one backwards.
    """

    chain: tuple[str, ...]
    stage: str
    trained: int


_FAMILIES = {
    # Of seven stages three: two of them work at a sixteenth of the image's sides, with nine tenths of the parameters.
    "EfficientNet": _Family(
        ("conv_stem", "bn1", "blocks.*", "conv_head", "bn2", "global_pool", "classifier"), r"blocks\.\d+", 3
    ),
    "ResNet": _Family(
        ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4", "global_pool", "fc"),
        r"layer\d",
        2,
    ),
    "ConvNeXt": _Family(("stem", "stages.*", "norm_pre", "head"), r"stages\.\d+", 2),
    "RegNet": _Family(("stem", "s1", "s2", "s3", "s4", "final_conv", "head"), r"s\d", 2),
}

# The block that a parameter belongs to: a child of a stage, or of a stage's `blocks`.
_BLOCK = re.compile(r"blocks\.\d+\.\d+|layer\d\.\d+|stages\.\d+\.(?:blocks\.\d+|downsample)|s\d\.b\d+|conv_head|[^.]+")
# A norm that is no block of its own.
_BELONGS_TO = {"bn2": "conv_head"}


def place_of_cut(network: nn.Module) -> str | None:
    """timm's name of the last stage that stays as it is; None for networks that cannot be cut."""
    family = _FAMILIES.get(type(network).__name__)
    if family is None:
        return None
    stages = _stages(network, family)
    return stages[-family.trained - 1] if len(stages) > family.trained else None


def stages_beside(network: nn.Module) -> tuple[str, str]:
    """timm's names of the two stages whose activations say something beside the features: where it is cut, and the last but one.

    Args:
        network: one that can be cut.
    """
    family = _FAMILIES[type(network).__name__]
    stages = _stages(network, family)
    return stages[-family.trained - 1], stages[-2]


def early_part(network: nn.Module, upto: str) -> nn.Module:
    """A copy of the part that takes images and answers with the activations after the stage `upto`."""
    chain = _chain(network, _FAMILIES[type(network).__name__])
    return _without(copy.deepcopy(network), chain[chain.index(upto) + 1 :])


def middle_part(network: nn.Module, after: str, upto: str) -> nn.Module:
    """A copy of the part that takes the activations after the stage `after` and answers with those after the stage `upto`."""
    chain = _chain(network, _FAMILIES[type(network).__name__])
    others = chain[: chain.index(after) + 1] + chain[chain.index(upto) + 1 :]
    return _without(copy.deepcopy(network), others)


def late_part(network: nn.Module, upto: str) -> nn.Module:
    """A copy of the part that takes those activations and answers with features."""
    chain = _chain(network, _FAMILIES[type(network).__name__])
    return _without(copy.deepcopy(network), chain[: chain.index(upto) + 1])


def depths(parameters: Iterable[str]) -> dict[str, int]:
    """How deep below the logits the block of each parameter of a late part lies, by their names: from 1 up.

    Args:
        parameters: in the order of the chain.
    """
    blocks = {name: _block_of(name) for name in parameters}
    order = list(dict.fromkeys(blocks.values()))
    return {name: len(order) - order.index(block) for name, block in blocks.items()}


@cache
def _block_of(name: str) -> str:
    found = _BLOCK.match(name)
    assert found, "the last alternative takes any name"
    return _BELONGS_TO.get(found[0], found[0])


def _stages(network: nn.Module, family: _Family) -> list[str]:
    return [name for name in _chain(network, family) if re.fullmatch(family.stage, name)]


def _chain(network: nn.Module, family: _Family) -> list[str]:
    return [name for link in family.chain for name in _names(network, link)]


def _names(network: nn.Module, link: str) -> Iterator[str]:
    parent, is_container, _ = link.partition(".*")
    if is_container:
        yield from (f"{parent}.{child}" for child, _ in network.get_submodule(parent).named_children())
    else:
        yield parent


def _without(network: nn.Module, names: Iterable[str]) -> nn.Module:
    for name in names:
        network.set_submodule(name, nn.Identity())
    return network.requires_grad_(False)
