"""Parts that a column names, and files in whose place another lies: no row and no part is lost in silence."""

import json

from .format_rows import LABELS, PAIR, parquet, plain_parquet
from .pets import ARRAY, FLAT, FOUR_ONE, IMAGES, IN_PARTS, NAMES, POINTER, SIX_FOUR, csv_rows
from .photos import photo
from .rows import Row, refused, taken
from .writers import alone, flat, table, zipped

PARTS: list[Row] = [
    taken(
        "Parquet with a column of parts",
        alone(plain_parquet({"image": IN_PARTS, "label": NAMES, "split": SIX_FOUR})),
        {"cat": (3, 2), "dog": (3, 2)},
    ),
    taken(
        "Parquet called train with a column of parts",
        zipped({"train.parquet": plain_parquet({"image": IN_PARTS, "label": NAMES, "split": SIX_FOUR})}),
        {"cat": (3, 2), "dog": (3, 2)},
        notes=["the parts are those that 'split' of 'train.parquet' names"],
    ),
    refused(
        "Parquet whose files and column contradict",
        zipped(
            {
                "train.parquet": plain_parquet({"image": IMAGES, "label": NAMES, "split": SIX_FOUR}),
                "test.parquet": plain_parquet({"image": IMAGES, "label": NAMES, "split": ["test"] * 10}),
            }
        ),
        "'train.parquet' is the train part by its name, and says test in row 6",
    ),
    refused(
        "Parquet with an empty part",
        alone(plain_parquet({"image": IMAGES, "label": NAMES, "split": [*SIX_FOUR[:-1], None]})),
        "'upload' says no part in row 9, in its column 'split'",
    ),
    refused(
        "Parquet with a part spelled wrongly",
        alone(plain_parquet({"image": IMAGES, "label": NAMES, "split": [*SIX_FOUR[:-1], "tset"]})),
        "names parts in its column 'split', but 'tset' is none",
    ),
    refused(
        "Parquet, one file without the column",
        zipped(
            {
                "a-0.parquet": plain_parquet({"image": IMAGES, "label": NAMES, "split": SIX_FOUR}),
                "a-1.parquet": plain_parquet({"image": IMAGES, "label": NAMES}),
            }
        ),
        "'a-1.parquet' says no part of its rows, as 'a-0.parquet' does",
    ),
    taken(
        "Parquet with folds",
        alone(plain_parquet({"image": IMAGES, "label": NAMES, "fold": [n % 5 for n in range(10)]})),
        FOUR_ONE,
        notes=["'fold' of 'upload' may name parts"],
    ),
    taken(
        "Parquet, all parts empty",
        alone(plain_parquet({"image": IMAGES, "label": NAMES, "split": [""] * 10})),
        FOUR_ONE,
        notes=["'split' of 'upload' may name parts"],
    ),
    refused(
        "a table with an empty part",
        zipped({**FLAT, "l.csv": csv_rows([*SIX_FOUR[:-1], ""], "file,label,split")}),
        "'l.csv' says no part of '9.png' in line 11, where other rows have one in 'split'",
    ),
    refused(
        "JSON lines with an empty part",
        zipped(
            {
                **FLAT,
                "metadata.jsonl": "\n".join(
                    json.dumps(
                        {"file_name": f"{n}.png", "label": PAIR[n % 2], **({} if n == 4 else {"split": "train"})}
                    )
                    for n in range(10)
                ).encode(),
            }
        ),
        "'metadata.jsonl' says no part of '4.png' in line 5",
    ),
    taken(
        "a table whose parts are all empty",
        zipped({**FLAT, "l.csv": csv_rows([""] * 10, "file,label,split")}),
        FOUR_ONE,
        notes=["'split' of 'l.csv' may name parts"],
    ),
    refused(
        "a table with a part spelled wrongly",
        zipped({**FLAT, "l.csv": csv_rows([*SIX_FOUR[:-1], "tset"], "file,label,split")}),
        "names parts in 'split', but 'tset' is none",
    ),
    taken(
        "images of no part beside a test folder",
        zipped(
            {
                **flat("images/"),
                **flat("test/", count=2, part="test", suffix="t.png"),
                "l.csv": table({**flat("images/"), **flat("test/", count=2, suffix="t.png")}),
            }
        ),
        {"cat": (5, 2), "dog": (5, 2)},
        notes=["10 images of no part became training images"],
    ),
]

IN_PLACE_OF_FILES: list[Row] = [
    refused(
        f"Git LFS pointer for {name}",
        zipped({**files, name: POINTER}),
        f"{name}' is a Git LFS pointer",
        remedy="git lfs pull",
    )
    for name, files in (
        ("test.parquet", {"train.parquet": parquet("train", 10)}),
        ("data/train-00001-of-00002.parquet", {"data/train-00000-of-00002.parquet": parquet("train", 10)}),
        ("labels.csv", FLAT),
        ("test_batch.bin", {"data_batch_1.bin": b"x"}),
        ("t10k-images-idx3-ubyte.gz", {}),
        ("x_train.npy", {}),
    )
]
IN_PLACE_OF_FILES += [
    refused("a Git LFS pointer alone", alone(POINTER), "the file is a Git LFS pointer", remedy="git lfs pull"),
    *(
        refused(
            f"{words} for a split of Parquet",
            zipped({"train.parquet": parquet("train", 10), "test.parquet": content}),
            f"'test.parquet' is damaged, or another file: .* it {words}",
        )
        for words, content in (("is empty", b""), ("is a web page", b"<!doctype html>"), ("begins as no such", b"xyz"))
    ),
    refused("a lone .npy cut short", alone(ARRAY[:-100]), r"'upload' is damaged or cut short: it holds 7,580 bytes"),
    refused("a lone .npy cut in its header", alone(ARRAY[:40]), "is damaged or cut short: its header"),
    refused("a lone .npy by a text transfer", alone(b"\xc2" + ARRAY), "is a damaged array of NumPy's"),
    refused(
        "a damaged .npy without labels", zipped({"images.npy": ARRAY[:-1], "x.md": b""}), "'images.npy' is damaged"
    ),
    refused("a lone .npy without labels", alone(ARRAY), "is an array, and its name says neither", remedy="one .npz"),
]

LABELS_TOO = taken(
    "Parquet with names beside numbers",
    alone(plain_parquet({"image": [photo("01"[n], None, n) for n in LABELS], "label": LABELS, "label_name": NAMES})),
    {"0": (4, 1), "1": (4, 1)},
    notes=["'label_name' of 'upload' may name classes too: 'label' was taken"],
)

ROWS: list[Row] = [LABELS_TOO, *PARTS, *IN_PLACE_OF_FILES]
