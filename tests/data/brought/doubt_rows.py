"""What stands beside the images of a class and is none of them, and labels that may mean another thing."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from tests.data.formats.collected import npz

from .format_rows import plain_parquet
from .pets import FLAT, FOUR_ONE, IMAGES, PETS
from .photos import UNLABELLED, photo, pixels
from .rows import Files, Row, refused, taken
from .writers import alone, flat, folders, parts, tarred, zipped

NO_CLASS = "which is no class"
NONE_SAID = {"1.png": photo(UNLABELLED, None, 1), "2.png": photo(UNLABELLED, None, 2)}
TWO_PARTS = {"cat": (4, 2), "dog": (4, 2)}
MASKS = "images and their masks, as in data sets for segmentation"
NOT_USED = "was not used"


def _below(folder: str, files: Files) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def _unlabelled(name: str, files: Files, folder: str, classes: Mapping[str, tuple[int, int]] = FOUR_ONE) -> Row:
    """Class folders, and images in a folder that says that they have no label."""
    called = folder.rpartition("/")[2]
    left_out = {f"{folder}/{image}": f"lies in '{called}', {NO_CLASS}" for image in NONE_SAID}
    notes = [f"2 images in '{called}' had no label and were left out"]
    return taken(name, zipped({**files, **_below(folder, NONE_SAID)}), classes, notes=notes, left_out=left_out)


def _table(header: str, labels: Sequence[str], *cells: Sequence[str]) -> bytes:
    """A row for each of ten images, whose cells take turns."""
    columns = [labels, *cells]
    rows = [",".join([f"{n}.png", *(column[n % len(column)] for column in columns)]) for n in range(10)]
    return "\n".join([header, *rows, ""]).encode()


WITHOUT_LABEL: list[Row] = [
    *(
        _unlabelled(f"{folder}/ beside classes", PETS, folder)
        for folder in ("unlabeled", "Unlabelled", "unsup", "_unlabeled", "no_label", "not-annotated")
    ),
    _unlabelled("STL-10: unlabeled/ beside parts", parts(train=4, test=2), "unlabeled", TWO_PARTS),
    _unlabelled("IMDB: train/unsup/", parts(train=4, test=2), "train/unsup", TWO_PARTS),
    _unlabelled("labelled/ and unlabelled/", folders("cat dog", before="labelled/"), "unlabelled"),
    taken(
        "unlabeled/ of files that are not read",
        tarred({**PETS, "unlabeled/1.heic": b"\0\0\0\x18ftypheic"}),
        FOUR_ONE,
        left_out={"unlabeled/1.heic": "is "},
    ),
    taken("classes within unlabeled/", zipped(folders("cat dog", before="unlabeled/")), FOUR_ONE),
    refused(
        "unlabeled/ alone", zipped(_below("unlabeled", NONE_SAID)), "no image of the archive has a label: 'unlabeled/1"
    ),
    taken(
        "a class called unlabelled in a table",
        zipped({**flat("i/", f"cat {UNLABELLED}"), "l.csv": _table("file,label", ["cat", UNLABELLED])}),
        {"cat": (4, 1), UNLABELLED: (4, 1)},
        notes=["'unlabelled' was kept as a class, and may say that an image has none"],
    ),
]


def _with_masks(*called: str) -> dict[str, bytes]:
    """An image of each class once more, under names that say that it is a mask of another."""
    return {f"{name}/{mask}": photo(UNLABELLED, None, 3) for name in ("cat", "dog") for mask in called}


def _masked(name: str, *called: str) -> Row:
    files = _with_masks(*called)
    notes = [f"{len(files)} images are called as masks of others beside and were left out, such as 'cat/"]
    left_out = dict.fromkeys(files, "is called as a mask of an image beside it")
    return taken(name, zipped({**PETS, **files}), FOUR_ONE, notes=notes, left_out=left_out)


BESIDE_IMAGES: list[Row] = [
    _masked("BUSI: masks beside images", "0_mask.png", "0_mask_1.png", "1_mask.png"),
    *(_masked(f"{mask} beside images", mask) for mask in ("1-seg.bmp", "2_GT.png", "3.segmentation.png", "mask_4.png")),
    _masked("labels and annotations beside images", "0_label.png", "1_annotation.png", "2 ground truth.png"),
    taken(
        "called as masks, of no image beside",
        zipped({f"{name}_mask.png" if "cat" in name else name: content for name, content in PETS.items()}),
        FOUR_ONE,
    ),
    *(
        refused(
            f"{first}/ beside {second}/",
            zipped({**_below(first, PETS), **_below(second, PETS)}),
            f"'{first}' lies beside '{second}': {MASKS}",
        )
        for first, second in (("images", "masks"), ("JPEGImages", "SegmentationClass"), ("train/imgs", "train/gt"))
    ),
    refused(
        "<class>/images and <class>/masks",
        tarred({**folders("cat dog", inner="images/"), **folders("cat dog", inner="masks/")}),
        f"'cat/images' lies beside 'cat/masks': {MASKS}",
        remedy="Leave the masks out",
    ),
    refused(
        "a class folder of another's masks",
        zipped({**PETS, "cat_masks/0_mask.png": photo("cat"), "cat_masks/1.png": photo("cat")}),
        "'cat_masks' holds masks of the images in 'cat'",
    ),
    refused(
        "COCO without boxes",
        zipped(
            {
                **FLAT,
                "c.json": json.dumps({"images": [], "annotations": [{"category_id": 1}], "categories": []}).encode(),
            }
        ),
        "'c.json' holds annotations without boxes, in COCO's form, which is not read",
        remedy="a table with the columns file and label",
    ),
]


OTHER_COLUMNS: list[Row] = [
    taken(
        "label of 0 and 1 beside species",
        zipped({**flat("i/", "0 1"), "l.csv": _table("image,label,species", "01", ["cat", "dog", "frog", "bus"])}),
        {"0": (4, 1), "1": (4, 1)},
        notes=["'species' of 'l.csv' may name classes too: 'label' was taken"],
    ),
    taken(
        "label beside diagnosis, breed and age, and what names none",
        zipped(
            {
                **FLAT,
                "l.csv": _table(
                    "image,label,age,breed,width,weight,author,remark",
                    ["cat", "dog"],
                    *("345", "pqr", ["16", "17"], ["1.5", "2.5"], "xy", [f"r{n}" for n in range(10)]),
                ),
            }
        ),
        FOUR_ONE,
        notes=["^'age' and 'breed' of 'l.csv' may name classes too: 'label' was taken$"],
    ),
    taken(
        "JSON lines with label and diagnosis",
        zipped(
            {
                **FLAT,
                "metadata.jsonl": "\n".join(
                    json.dumps({"file_name": f"{n}.png", "label": ("cat", "dog")[n % 2], "diagnosis": n % 3})
                    for n in range(10)
                ).encode(),
            }
        ),
        FOUR_ONE,
        notes=["'diagnosis' of 'metadata.jsonl' may name classes too"],
    ),
    taken(
        "WebDataset with label and species",
        tarred(
            {
                **flat("s/"),
                **{
                    f"s/{n}.json": json.dumps(
                        {"label": ("cat", "dog")[n % 2], "species": "pqr"[n % 3], "width": n % 4}
                    ).encode()
                    for n in range(10)
                },
            }
        ),
        FOUR_ONE,
        notes=["^'species' in the samples' .json may name classes too: 'label' was taken$"],
    ),
    taken(
        "Parquet with label and species",
        alone(plain_parquet({"image": IMAGES, "label": ["cat", "dog"] * 5, "species": ["p", "q", "r", "s", "t"] * 2})),
        FOUR_ONE,
        notes=["'species' of 'upload' may name classes too: 'label' was taken"],
    ),
    refused(
        "Parquet with pixels as lists",
        alone(plain_parquet({"pixels": [[0, 1, 2]] * 4, "label": [0, 1] * 2})),
        "'upload' is Parquet and has no column of images; it has 'pixels', 'label': 'pixels' holds lists",
        remedy="bytes of its file",
    ),
]


def _numbered(
    names: str, text: bytes, classes: Mapping[str, tuple[int, int]], file: str = "classes.txt", **more: object
) -> Row:
    called = f"{file} of {text!r} beside {names}"
    labels = _table("file,label", ["0", "1"])
    return taken(called, zipped({**flat("i/", names), "l.csv": labels, file: text}), classes, **more)


NAMED: list[Row] = [
    _numbered(
        "cat dog", b"cat\r\ndog\r\n", FOUR_ONE, notes=["the numbers of classes are explained by 'classes.txt', from 0"]
    ),
    _numbered("cat dog", b"cat\ndog", FOUR_ONE, "meta/labels.txt", notes=["are explained by 'meta/labels.txt'"]),
    _numbered("0 1", b"cat\ndog\nfrog\n", {"0": (4, 1), "1": (4, 1)}, left_out={"classes.txt": NOT_USED}),
    _numbered("0 1", b"cat\ncat\n", {"0": (4, 1), "1": (4, 1)}, left_out={"classes.txt": NOT_USED}),
    _numbered("0 1", b"1\n0\n", {"0": (4, 1), "1": (4, 1)}, left_out={"classes.txt": NOT_USED}),
    taken(
        "numbered folders and classes.txt",
        tarred(
            {
                **{name.replace("cat", "0").replace("dog", "1"): image for name, image in PETS.items()},
                "classes.txt": b"cat\ndog\n",
            }
        ),
        FOUR_ONE,
        notes=["are explained by 'classes.txt'"],
    ),
    taken(
        "numbered arrays and class_names.txt",
        zipped(
            {
                "a.npz": npz(
                    {
                        "images": np.stack([pixels(("cat", "dog")[n % 2], None, n) for n in range(10)]),
                        "labels": np.arange(10) % 2,
                    }
                ),
                "class_names.txt": b"cat\ndog\n",
            }
        ),
        FOUR_ONE,
        notes=["are explained by 'class_names.txt'"],
    ),
]


ROWS: list[Row] = [*WITHOUT_LABEL, *BESIDE_IMAGES, *OTHER_COLUMNS, *NAMED]
