"""Writes the table of backbones that specs may name: facts of timm's pretrained networks, one row each.

    python scripts/backbones.py > noisegate/networks/backbones/catalogue.csv

Names, licences, parameters of their input come from timm's own configurations; where they are cut, from building them without
weights. What takes other than RGB images of one size is left out. For another version of timm: run it again, and look at what
changes.
"""

import csv
import sys
import warnings
from collections.abc import Iterator

import timm
import torch

from noisegate.networks.backbones.cutting import early_part, place_of_cut

# Building all the others, too, would take many minutes.
FILES = ("efficientnet", "resnet", "convnext", "regnet")
FIELDS = ["name", "image_size", "fixed_size", "crop", "interpolation", "mean", "std", "licence", "cut"]
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
        }


def cut_of(architecture: str) -> str:
    """The last stage before the cut, the channels of the activations there, and their stride; "" if it cannot be cut."""
    if timm.models.model_entrypoint(architecture).__module__.rpartition(".")[2] not in FILES:
        return ""
    with torch.device("meta"):
        network = timm.create_model(architecture, pretrained=False, num_classes=0).eval()
        upto = place_of_cut(network)
        # What is in no file of weights would be left without values.
        if upto is None or {name for name, _ in network.named_buffers()} - set(network.state_dict()):
            return ""
        _, channels, height, _ = early_part(network, upto)(torch.zeros(1, 3, _SIZE, _SIZE)).shape
    return f"{upto} {channels} {_SIZE // height}"


if __name__ == "__main__":
    main()
