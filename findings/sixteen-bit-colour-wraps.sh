#!/usr/bin/env bash
# datasets 5.2.0 (Image feature): colour arrays of more than 8 bits are stored modulo 256; gray ones are stored as they are.
#
# Expected: an array of uint16 in an Image column is kept, scaled to 8 bits, or refused. Gray uint16 arrays are kept (as TIFF), and
# colour arrays of float32 are refused with a TypeError, so one expects colour uint16 to be the one or the other.
# Seen: the high byte is thrown away: 255 stays 255, 256 becomes 0, 511 becomes 255, 65280 becomes 0. A smooth ramp comes out as a saw
# with 256 teeth. The same for int64 colour arrays above 255, as arithmetic on images makes them (sums, differences, -1 becomes
# 255). A warning says "Downcasting array dtype uint16 to uint8 to be compatible with 'Pillow'", once, which is what it says for
# the harmless case as well, int64 values of 0 to 255.
# For who trains with rejection: microscopes, scanners and raw converters give 16 bits a channel. After this each image is coloured
# noise with faint outlines, a classifier still learns something from it, and a class of noise looks known.
# Scale to 8 bits before, or store encoded files.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
HF_HUB_OFFLINE=1 HF_DATASETS_CACHE="$work/cache" "$work/venv/bin/python" - <<'PY'
import warnings

import numpy as np
from datasets import Dataset, Features, Image

warnings.simplefilter("always")


def back(array: np.ndarray) -> tuple[np.ndarray | None, int]:
    """What comes back of this array from an Image column (None if it is refused), and how many warnings there were."""
    with warnings.catch_warnings(record=True) as said:
        try:
            rows = Dataset.from_dict({"image": [array]}, features=Features({"image": Image()}))
        except TypeError:
            return None, len(said)
    return np.asarray(rows[0]["image"]), len([w for w in said if "Downcasting" in str(w.message)])


values = np.array([0, 255, 256, 511, 512, 32768, 65280, 65535], np.uint16)
gray = np.tile(values, (8, 1))
colour = np.repeat(gray[:, :, None], 3, axis=2)
small = (colour % 256).astype(np.int64)
differences = np.tile(np.array([-2, -1, 0, 1, 254, 255, 256, 300], np.int64)[None, :, None], (8, 1, 3))

gray_back, _ = back(gray)
colour_back, colour_warnings = back(colour)
small_back, small_warnings = back(small)
differences_back, _ = back(differences)
refused, _ = back(colour.astype(np.float32))
print("stored:        ", values.tolist())
print("gray uint16:   ", gray_back[0].tolist())
print("colour uint16: ", colour_back[0, :, 0].tolist(), "with", colour_warnings, "warning")
print("int64 0 … 255 comes back:", bool(np.array_equal(small_back, small)), "with", small_warnings, "warning")
print("int64", differences[0, :, 0].tolist(), "as", differences_back[0, :, 0].tolist())
print("colour float32 refused:", refused is None)
assert np.array_equal(gray_back, gray), "this behaviour has changed"
assert np.array_equal(colour_back, (colour % 256).astype(np.uint8)), "this behaviour has changed"
assert np.array_equal(small_back, small) and small_warnings == colour_warnings == 1, "this behaviour has changed"
assert np.array_equal(differences_back, (differences % 256).astype(np.uint8)), "this behaviour has changed"
assert refused is None, "this behaviour has changed"
PY
