"""Writes the table of backbones that specs may name: facts of timm's pretrained networks, one row each.

    python scripts/backbones.py > noisegate/networks/backbones/catalogue.csv

Names, licences, parameters of their input come from timm's own configurations. What takes other than RGB images of one size is
left out. For another version of timm: run it again, and look at what changes.
"""

import csv
import sys
import warnings
from collections.abc import Iterator

import timm

FIELDS = ["name", "image_size", "fixed_size", "crop", "interpolation", "mean", "std", "licence"]


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
    for name in sorted(timm.list_pretrained(f"{architecture}.*"), key=lambda one: one.partition(".")[2] != tag):
        config = timm.get_pretrained_cfg(name)
        assert config is not None, "timm has listed it"
        channels, height, width = config.input_size
        if channels != 3 or height != width or not config.hf_hub_id:
            continue
        yield {
            "name": name,
            "image_size": height,
            "fixed_size": int(bool(config.fixed_input_size)),
            "crop": f"{config.crop_pct:g}",
            "interpolation": config.interpolation,
            "mean": " ".join(f"{one:g}" for one in config.mean),
            "std": " ".join(f"{one:g}" for one in config.std),
            "licence": config.license or "",
        }


if __name__ == "__main__":
    main()
