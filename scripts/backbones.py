"""Writes the table of backbones that specs may name: facts of timm's pretrained networks, one row each.

    python scripts/backbones.py > noisegate/networks/backbones/catalogue.csv

Names, licences, parameters of their input come from timm's own configurations; where they are cut, what they compute and how many
weights they have, from building them without weights: those of the families that can be cut, and no others, as that would take many
minutes. What takes other than RGB images of one size is left out. For another version of timm: run it again, and look at what
changes.
"""

import csv
import sys
import warnings
from collections.abc import Iterator
from functools import cache

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from noisegate.networks.backbones.cutting import early_part, place_of_cut

FILES = ("efficientnet", "resnet", "convnext", "regnet")
FIELDS = [
    *("name", "image_size", "fixed_size", "crop", "interpolation", "mean", "std", "licence", "cut"),
    *("macs", "parameters"),
]
# Pixels a side of what is shown to a network to see where it is cut: divisible by every stride.
_SIZE = 256


def main() -> None:
    warnings.simplefilter("ignore")
    writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
    writer.writeheader()
    for architecture in timm.list_models():
        writer.writerows(rows_of(architecture))


def rows_of(architecture: str) -> Iterator[dict[str, object]]:
    """The pretrained weights of one architecture, its default first."""
    default = timm.get_pretrained_cfg(architecture)
    tag = default.tag if default else ""
    cut = None
    for name in sorted(timm.list_pretrained(f"{architecture}.*"), key=lambda one: one.partition(".")[2] != tag):
        config = timm.get_pretrained_cfg(name)
        assert config is not None, "timm has listed it"
        channels, height, width = config.input_size
        if channels != 3 or height != width or not config.hf_hub_id:
            continue
        cut = cut_of(architecture) if cut is None else cut
        yield {
            "name": name,
            "image_size": height,
            "fixed_size": int(bool(config.fixed_input_size)),
            "crop": f"{config.crop_pct:g}",
            "interpolation": config.interpolation,
            "mean": " ".join(f"{one:g}" for one in config.mean),
            "std": " ".join(f"{one:g}" for one in config.std),
            "licence": config.license or "",
            "cut": cut,
            **counts_of(architecture, height),
        }


def cut_of(architecture: str) -> str:
    """The last stage before the cut, the channels of the activations there, and their stride; "" if it cannot be cut."""
    network = built(architecture)
    if network is None:
        return ""
    upto = place_of_cut(network)
    # What is in no file of weights would be left without values.
    if upto is None or {name for name, _ in network.named_buffers()} - set(network.state_dict()):
        return ""
    _, channels, height, _ = early_part(network, upto)(torch.zeros(1, 3, _SIZE, _SIZE, device="meta")).shape
    return f"{upto} {channels} {_SIZE // height}"


@cache
def counts_of(architecture: str, image_size: int) -> dict[str, object]:
    """What one image costs, and how many weights there are, both without the layer that names classes; "" where it is not built."""
    network = built(architecture)
    if network is None:
        return {"macs": "", "parameters": ""}
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, image_size, image_size, device="meta"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    # The counter takes a multiplication and an addition for two.
    return {"macs": counter.get_total_flops() // 2, "parameters": parameters}


@cache
def built(architecture: str) -> nn.Module | None:
    """The network without values; None of other families."""
    if timm.models.model_entrypoint(architecture).__module__.rpartition(".")[2] not in FILES:
        return None
    with torch.device("meta"):
        network: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0).eval()
    return network


if __name__ == "__main__":
    main()
