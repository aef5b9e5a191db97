"""Images of cats and dogs, flat and in parts, and tables of them: what rows about losses build on."""

import numpy as np

from tests.data.formats.collected import npy

from .format_rows import LABELS, PAIR
from .photos import photo, pixels
from .writers import flat, folders

PETS = folders("cat dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
FLAT = flat("images/")
IMAGES = [photo(PAIR[n % 2], None, n) for n in range(10)]
NAMES = [PAIR[n] for n in LABELS]
SIX_FOUR = ["train"] * 6 + ["test"] * 4
IN_PARTS = [photo(PAIR[n % 2], "train" if n < 6 else "test", n) for n in range(10)]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 12345\n"
ARRAY = npy(np.stack([pixels("cat", None, n) for n in range(10)]))
PLACE = "in the place of a class: "


def csv_rows(cells: list[str], header: str, names: tuple[str, ...] = ("cat", "dog")) -> bytes:
    lines = [f"{n}.png,{names[n % len(names)]},{cell}" for n, cell in enumerate(cells)]
    return "\n".join([header, *lines, ""]).encode()
