#!/usr/bin/env bash
# datasets 5.2.0 (loader "imagefolder"): one folder or file with a word for a split in its name decides what is loaded.
#
# Expected: <class>/<image> is documented as the way to give labels, and a folder without train/ and test/ is one split. Three
# folders of vehicles, bus/, car/ and train/, are three classes. Names such as cat/test_1.png are just names.
# Seen: a folder called train (or test-tube: the words are looked for between punctuation) is taken for the split, everything
# outside it is left out, and what remains has no labels. One file called test_1.png is enough: the others beside it are left
# out. No warning, no count.
# That split words in names are looked for is documented; that whatever has none is then dropped is not.
# For who trains with rejection: the classes that vanish are not merely missing from training. They become unknowns that
# look perfectly valid, and a rejecting classifier is then praised for rejecting them. Count rows and classes after loading.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile datasets==5.2.0 pillow==13.0.0
HF_HUB_OFFLINE=1 HF_DATASETS_CACHE="$work/cache" "$work/venv/bin/python" - "$work" <<'PY'
import sys
from pathlib import Path

import datasets
from PIL import Image

datasets.disable_progress_bars()
work = Path(sys.argv[1])


def loaded(name: str, files: list[str]) -> dict[str, tuple[int, list[str] | None]]:
    """What comes out of a folder of these files: for each split its rows and class names."""
    for index, file in enumerate(files):
        path = work / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 6), (index, 0, 0)).save(path)
    splits = datasets.load_dataset("imagefolder", data_dir=str(work / name))
    return {
        split: (rows.num_rows, rows.features["label"].names if "label" in rows.features else None)
        for split, rows in splits.items()
    }


def images(*classes: str) -> list[str]:
    return [f"{label}/{number}.png" for label in classes for number in range(5)]


seen = {
    "bus, car, tram": loaded("tram", images("bus", "car", "tram")),
    "bus, car, train": loaded("train", images("bus", "car", "train")),
    "beaker, flask, test-tube": loaded("tubes", images("beaker", "flask", "test-tube")),
    "cat and dog, one file test_1.png": loaded("file", [*images("cat", "dog"), "cat/test_1.png"]),
}
for what, splits in seen.items():
    print(f"{what}: {splits}")
assert seen == {
    "bus, car, tram": {"train": (15, ["bus", "car", "tram"])},
    "bus, car, train": {"train": (5, None)},
    "beaker, flask, test-tube": {"test": (5, None)},
    "cat and dog, one file test_1.png": {"test": (1, None)},
}, "this behaviour has changed"
PY
