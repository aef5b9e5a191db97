"""Own photographs: from a folder to a served model, and beside the loop of a textbook.

    python benchmarks/own_images.py --images PHOTOGRAPHS.tar --runs FOLDER [--parts linear textbook] [--textbook-seeds 1]
    python benchmarks/own_images.py --images PHOTOGRAPHS.tar --runs FOLDER --tune '{"epochs": 20}'

The archive holds <class>/*, with 500 photographs of each class or more. 100 of each are drawn with seed 0 to train on, 200 others
to test on, and 200 others again to choose settings by, which `--tune` tests on instead. Parts, each of which can be run by itself:

    few           `noisegate train` on the 100 of each class, with no options; scikit-learn's logistic regression on the same
                  features and split; 50 executions more of the same cell, and 50 of ten draws of noise
    all           the same on all photographs, without the 50
    linear        the recipe in this process, tested on the 200; three seeds; scikit-learn beside it
    fine_tune     likewise, two seeds
    textbook      PyTorch's tutorial of transfer learning, all 25 epochs on one core, two seeds
    textbook_time three epochs of it on all cores

A part that has ended is not repeated: what lies in the folder counts, and all of it is kept in benchmarks/results/own_images.json.
Seconds are the clock's, core-seconds the processor's in all processes, so that other work on the machine counts little.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from own_images_parts import installation, recipes, textbook
from own_images_parts.photographs import SEED, TEST, TRAIN, TUNE, Photographs, drawn, unpacked
from own_images_parts.scikit import logistic_regression
from own_images_parts.targets import print_targets, targets_of
from record import keep, machine

PARTS = ("few", "all", "linear", "fine_tune", "textbook", "textbook_time")
_BACKBONE, _SIZE = "tf_efficientnet_lite0", 224
_SEEDS = {"linear": 3, "fine_tune": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="tar of <class>/*")
    parser.add_argument(
        "--runs", type=Path, default=Path("noisegate-runs"), help="kept: what has ended is not repeated"
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--textbook-seeds", type=int, default=2)
    parser.add_argument("--tune", type=json.loads, help="settings of fine_tune, as JSON, to try on the images for that")
    asked = parser.parse_args()
    folder = asked.runs / "own_images"
    folder.mkdir(parents=True, exist_ok=True)
    photographs = unpacked(asked.images, folder / "photographs")
    if asked.tune is not None:
        torch.set_num_threads(1)
        recipes.recipe_runs(drawn(photographs, tune=TUNE), _BACKBONE, _SIZE, {"recipe": "fine_tune", **asked.tune}, 2)
        return
    for part in asked.parts:
        _run(part, folder, drawn(photographs), asked.textbook_seeds)
    figures = _kept(folder)
    targets = targets_of(figures)
    print_targets(targets)
    about = {"backbone": _BACKBONE, "image_size": _SIZE, "draw_seed": SEED, "a_class": {"train": TRAIN, "test": TEST}}
    print(f"Kept in {keep('own_images', {**about, **figures, 'targets': targets})}")


def _run(part: str, folder: Path, shown: Photographs, textbook_seeds: int) -> None:
    if part in ("few", "all"):
        _unless_there(folder / f"{part}.json", lambda: _installed(part, folder, shown))
    elif part == "textbook":
        torch.set_num_threads(1)
        for seed in range(textbook_seeds):
            found = folder / f"textbook-{seed}.json"
            _unless_there(found, lambda seed=seed: textbook.textbook(shown, _BACKBONE, _SIZE, seed))  # type: ignore[misc]
    elif part == "textbook_time":
        torch.set_num_threads(torch.get_num_threads())
        _unless_there(folder / f"{part}.json", lambda: textbook.textbook_seconds(shown, _BACKBONE, _SIZE))
    else:
        torch.set_num_threads(1)
        training, seeds = {"recipe": part}, _SEEDS[part]
        _unless_there(folder / f"{part}.json", lambda: recipes.recipe_runs(shown, _BACKBONE, _SIZE, training, seeds))


def _installed(part: str, folder: Path, shown: Photographs) -> dict[str, Any]:
    """`noisegate train`, and its peer on the features that it was trained on."""
    few = part == "few"
    images = installation.folder_of(shown, folder / "few") if few else folder / "photographs"
    with installation.installation(folder / "noisegate") as up:
        found = installation.train_command(up, images, part)
        print(part, json.dumps(found), flush=True)
        if few:
            found["repeated"] = installation.repeated(up, part)
            print("repeated", json.dumps(found["repeated"]), flush=True)
        split = installation.features_of(up.data_dir, part)
    found["scikit_learn"] = logistic_regression(split.train, split.train_labels, split.test, split.test_labels)
    print("scikit-learn", json.dumps(found["scikit_learn"]), flush=True)
    return found


def _unless_there(file: Path, measure: Callable[[], dict[str, Any]]) -> None:
    if not file.exists():
        found = measure()
        file.write_text(json.dumps({**found, "machine": machine()}, indent=2) + "\n")


def _kept(folder: Path) -> dict[str, Any]:
    """What has been measured so far, by parts."""
    parts = [part for part in PARTS if part != "textbook" and (folder / f"{part}.json").exists()]
    found = {part: json.loads((folder / f"{part}.json").read_text()) for part in parts}
    runs = [json.loads(file.read_text()) for file in sorted(folder.glob("textbook-*.json"))]
    if runs:
        found["textbook"] = {"runs": runs, "core_seconds": float(np.mean([one["core_seconds"] for one in runs]))}
    return found


if __name__ == "__main__":
    main()
