"""Does fine-tuning tell unknown flowers from known ones better than a layer on fixed features does?

    python benchmarks/open_set_tuned.py --archive flowers.tar --cifar10 cifar10.tar.xz [--choices 2]

The splits of `open_set_flowers`, at 128 px, the size of the files, with 1× structured noise and a holdout of a tenth, which
fine_tune needs to know when to stop; some of the ten choices, a minute or two of a core each.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_set_figures import Figures, answers, figures, mean, run, spec, summary, words
from open_set_images import CHOICES, TRAINED, far_images, photographs, split_of
from record import keep

from noisegate.learning.cells import CellData, CellFeatures, prepare_cell
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.networks.backbones import EMBEDDED, backbone_of
from noisegate.networks.backbones.loading import load

_SIZE = 128
_FAR = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of <class>/*")
    parser.add_argument("--cifar10", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--choices", type=int, default=2, help="2 … 10: how many, in even steps through the ten")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    choices = [number * len(CHOICES) // asked.choices for number in range(asked.choices)]
    found = _both(asked.archive, asked.cifar10, choices)
    tables = {recipe: summary([mean(iter([one])) for one in several]) for recipe, several in found.items()}
    for recipe, table in tables.items():
        print(recipe, words(table), sep="\n  ")
    print(f"Kept in {keep('open_set_tuned', {'trained_a_class': TRAINED, 'choices': choices, 'recipes': tables})}")


def _both(archive: Path, cifar10: Path, choices: Sequence[int]) -> dict[str, list[Figures]]:
    """The recipes linear and fine_tune with structured noise, on the same images of the same choices."""
    flowers = photographs(archive, _SIZE)
    far = {name: images[:_FAR] for name, images in far_images(flowers, cifar10).items() if name != "exposure"}
    loaded = load(backbone_of(EMBEDDED), None, None)
    assert loaded.backbone.cut is not None
    stages = {"linear": None, "fine_tune": loaded.backbone.cut.upto}
    encoders = {recipe: make_encoder(loaded, _SIZE, upto) for recipe, upto in stages.items()}
    return {
        recipe: [_of_pixels(flowers, far, encoder, recipe, choice) for choice in choices]
        for recipe, encoder in encoders.items()
    }


def _of_pixels(flowers: np.ndarray, far: dict[str, Any], encoder: Encoder, recipe: str, choice: int) -> Figures:
    started, split = time.process_time(), split_of(choice)
    train, test = (
        np.concatenate([flowers[one][part[one]] for one in split.known]) for part in (split.train, split.test)
    )
    labels = np.repeat(np.arange(len(split.known)), TRAINED)
    mirrored = encoder.mirrored(train) if recipe == "fine_tune" else None
    computed = CellFeatures(encoder(train), encoder(test), encoder, mirrored)
    data = CellData(tuple(map(str, split.known)), train, labels, test, labels, "", computed)
    noise = {"family": "structured", "quantity": 1}
    asked = spec({"training": {"recipe": recipe}, "image_size": _SIZE, "noise": noise}, choice)
    cell = prepare_cell(asked, data, 0)
    outcome = run(cell)
    tried = far | {f"near {one}": flowers[one][split.test[one]] for one in split.others}
    found: Figures = figures(cell, outcome, {name: answers(outcome, images) for name, images in tried.items()})
    print(f"{recipe}, choice {choice}: {time.process_time() - started:.0f} s", flush=True)
    return found


if __name__ == "__main__":
    main()
