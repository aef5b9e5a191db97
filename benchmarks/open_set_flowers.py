"""Open set on photographs of flowers: trained on three of five classes, tested on the other two, and on what is no flower.

    python benchmarks/open_set_flowers.py --archive flowers.tar --cifar10 cifar10.tar.xz --features FOLDER

All ten choices of three classes, 150 photographs a class to train on and 150 others to test on, drawn anew for each choice
(n = 10; choices share photographs). Recipe linear on tf_efficientnet_lite0 at 224 px, everything at its defaults,
cross-validated. A noise class has as many images of each kind as a class. Every figure is by the library's own recipe, scores,
thresholds and AUROC.

The exposed flowers are of one of the two other classes, and the tested ones of the other: both ways round, so each choice has two
cells. Beside it `near` of the other arms is that of both classes, whose mean is the same comparison.
"""

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from open_set_figures import Figures, answers, figures, mean, run, spec, summary, words
from open_set_images import CHOICES, TRAINED, Shown, features, split_of
from record import keep

from noisegate.learning.cells import CellData, CellFeatures, PreparedCell, prepare_cell
from noisegate.learning.encoding import Encoder

_PLACEHOLDER = 32  # pixels a side of images that only stand for their features


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        noise: what fills the noise class, of `structured`, `exposure` (CIFAR-10) and `flowers` (one of the other classes).
        kinds: of features, side by side.
        flips: whether mirror images are trained on, too.
    """

    noise: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("final",)
    flips: bool = False

    @property
    def all_kinds(self) -> set[str]:
        """Those that are computed for it."""
        return {*self.kinds, *({"mirrored"} if self.flips else ())}


ARMS = {
    "no noise class": Arm(),
    "structured noise": Arm(("structured",)),
    "structured noise, flips": Arm(("structured",), flips=True),
    "structured noise, layer blocks.5": Arm(("structured",), ("blocks.5",)),
    "structured noise, layers blocks.3, blocks.5 and last": Arm(("structured",), ("blocks.3", "blocks.5", "final")),
    "structured noise, several layers": Arm(("structured",), ("several",)),
    "no noise class, several layers": Arm((), ("several",)),
    "CIFAR-10": Arm(("exposure",)),
    "structured noise and CIFAR-10": Arm(("structured", "exposure")),
    "another flower": Arm(("flowers",)),
    "structured noise and another flower": Arm(("structured", "flowers")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of <class>/*")
    parser.add_argument("--cifar10", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--features", type=Path, required=True, help="folder, filled if it is empty")
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {kind for name in asked.arms for kind in ARMS[name].all_kinds}
    shown = features(asked.archive, asked.cifar10, asked.features, kinds)
    tables: dict[str, Any] = {}
    for name in asked.arms:
        arm, started = ARMS[name], time.process_time()
        tables[name] = summary([mean(_measured(shown, arm, choice)) for choice in range(len(CHOICES))])
        print(f"{name}: {time.process_time() - started:.0f} s", words(tables[name]), sep="\n  ", flush=True)
    name = "open_set_flowers" if len(asked.arms) == len(ARMS) else "open_set_flowers_layers"
    print(f"Kept in {keep(name, {'trained_a_class': TRAINED, 'arms': tables})}")


def _measured(shown: Shown, arm: Arm, choice: int) -> Iterator[Figures]:
    """One cell; with other flowers as noise two, so that each is exposed once and tested once."""
    others = split_of(choice).others
    for exposed in others if "flowers" in arm.noise else (None,):
        cell = _cell(shown, arm, choice, exposed)
        outcome = run(cell)
        groups = {
            name: np.concatenate([shown.far[kind][name] for kind in arm.kinds], axis=1) for name in shown.far["final"]
        }
        del groups["exposure"]
        split = split_of(choice)
        for one in others:
            if one != exposed:
                groups[f"near {one}"] = _flowers(shown, arm, [one], split.test)
        yield figures(cell, outcome, {name: answers(outcome, rows) for name, rows in groups.items()})


def _cell(shown: Shown, arm: Arm, choice: int, exposed: int | None) -> PreparedCell:
    """As a worker prepares it; features and noise were computed before, and pixels only stand for themselves."""
    split, count = split_of(choice), TRAINED * len(split_of(choice).known)
    noise = [_noise(shown, arm, source, choice, exposed) for source in arm.noise]
    rows = itertools.cycle(np.concatenate(noise)) if noise else itertools.cycle(())
    encoder = cast(Encoder, lambda images, _: np.stack([next(rows) for _ in images]))
    train, test = (_flowers(shown, arm, split.known, part) for part in (split.train, split.test))
    labels = np.repeat(np.arange(len(split.known)), TRAINED)
    pixels = np.zeros((count, _PLACEHOLDER, _PLACEHOLDER, 3), dtype=np.uint8)
    data = CellData(
        tuple(map(str, split.known)), pixels, labels, pixels[:0], labels, "", CellFeatures(train, test, encoder)
    )
    quantity = {"noise": {"family": "uniform", "quantity": len(noise)}} if noise else {}
    cell = prepare_cell(
        spec({"calibration": "cross_validated", "image_size": _PLACEHOLDER, **quantity}, choice), data, 0
    )
    return (
        _with_flips(cell, _flowers(shown, replace(arm, kinds=("mirrored",)), split.known, split.train))
        if arm.flips
        else cell
    )


def _noise(shown: Shown, arm: Arm, source: str, choice: int, exposed: int | None) -> np.ndarray:
    if source == "flowers":
        assert exposed is not None
        return _flowers(shown, arm, [exposed], split_of(choice).train)
    if source == "structured":
        return np.concatenate([shown.structured[kind][choice] for kind in arm.kinds], axis=1)
    return np.concatenate([shown.far[kind][source] for kind in arm.kinds], axis=1)


def _flowers(shown: Shown, arm: Arm, classes: Sequence[int], places: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [np.concatenate([shown.flowers[kind][one][places[one]] for kind in arm.kinds], axis=1) for one in classes]
    )


def _with_flips(cell: PreparedCell, mirrored: np.ndarray) -> PreparedCell:
    """Each training image twice, both in one fold; the weight decay is the one that was chosen without them."""
    assert cell.folds is not None
    known = cell.known_images
    inputs, labels, folds = (
        np.concatenate([values[:known], again, values[known:]])
        for values, again in (
            (cell.inputs, mirrored),
            (cell.labels, cell.labels[:known]),
            (cell.folds, cell.folds[:known]),
        )
    )
    return replace(cell, inputs=inputs, labels=labels, folds=folds, known_images=2 * known)


if __name__ == "__main__":
    main()
