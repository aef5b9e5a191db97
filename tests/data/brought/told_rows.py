"""What is read in one way and may be meant in another: the report says so, or the upload is refused."""

import json

from .photos import photo
from .rows import Files, Row, refused, taken
from .writers import flat, folders, tarred, zipped

PETS = folders("cat dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
FLAT = flat("images/")
PAIR = ("cat", "dog")
NO_USE = "was not used"
UNREAD = "may say the parts of images, and was not read"


def _rows(header: str, cells: str) -> bytes:
    """A line for each image of `FLAT`: its file, its class, and cells that all have."""
    lines = [f"{n}.png,{PAIR[n % 2]}{cells}" for n in range(len(FLAT))]
    return "\n".join([header, *lines, ""]).encode()


def _parts_of(files: Files) -> bytes:
    lines = [f"{name},{'test' if n % 5 else 'train'}" for n, name in enumerate(files)]
    return "\n".join(["file,split", *lines, ""]).encode()


def _samples() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for n in range(10):
        found |= {f"{n}.png": photo(PAIR[n % 2], None, n), f"{n}.cls": PAIR[n % 2].encode()}
    return found


LISTS = {
    "meta.csv": _parts_of(PETS),
    "splits.json": json.dumps({"train": list(PETS)[:6], "test": list(PETS)[6:]}).encode(),
    "train_test_split.txt": b"1 0\n2 1\n",
}

ROWS: list[Row] = [
    *(
        taken(f"parts in {name} alone", zipped({**PETS, name: text}), FOUR_ONE, notes=[UNREAD], left_out={name: NO_USE})
        for name, text in LISTS.items()
    ),
    taken(
        "lists of parts as CSV",
        zipped({**PETS, "test.csv": b"file\ncat/0.png\n", "train.csv": b"file\ncat/1.png\n"}),
        FOUR_ONE,
        notes=["'test.csv' and 'train.csv' list images and are called as parts"],
        left_out={"test.csv": NO_USE, "train.csv": NO_USE},
    ),
    refused(
        "a part in each class folder's name",
        zipped({**folders("cat dog"), **{f"cat_{part}/0.png": photo("cat") for part in ("train", "test")}}),
        "'cat_train' and 'cat_test', which stand where classes do, differ only in the word for a part",
        remedy="train/cat/",
    ),
    taken(
        "boxes in a table",
        zipped({**FLAT, "l.csv": _rows("filename,class,xmin,ymin,xmax,ymax", ",1,1,4,4")}),
        FOUR_ONE,
        notes=["'l.csv' has boxes, 'xmax', 'xmin', 'ymax' and 'ymin', which were not read"],
    ),
    taken(
        "a sample without its image",
        tarred({**_samples(), "77.cls": b"frog"}),
        FOUR_ONE,
        notes=["no image is here for '77.cls'"],
        left_out={"77.cls": NO_USE},
    ),
]
