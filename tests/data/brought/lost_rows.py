"""Classes, parts and rows that would be lost or doubled in silence: told, or refused by name."""

import json

from noisegate.api.reading import Reading

from .export_rows import tiny_imagenet
from .format_rows import PAIR, plain_parquet
from .pets import FLAT, FOUR_ONE, IMAGES, NAMES, PETS, PLACE, csv_rows
from .photos import photo
from .rows import Row, refused, taken
from .writers import alone, by_command, flat, folders, parts, table, tarred, zipped


def _tasks(*more: dict[str, object]) -> bytes:
    def task(file: str, choice: str, cancelled: bool = False) -> dict[str, object]:
        result = [{"type": "choices", "value": {"choices": [choice]}}]
        return {
            "data": {"image": f"/data/upload/1/ab12cd34-{file}"},
            "annotations": [{"result": result, "was_cancelled": cancelled}],
        }

    tasks = [task(f"{n}.png", PAIR[n % 2]) for n in range(10)]
    return json.dumps([*tasks, *(task(**each) for each in more)]).encode()  # type: ignore[arg-type]


EMPTY_FOLDERS: list[Row] = [
    refused("an empty class folder, zip", zipped({**PETS, "frog/": b""}), f"{PLACE}'frog'$", remedy="Add images"),
    refused(
        "an empty class folder, tar",
        by_command(PETS, "sh", "-c", 'mkdir frog && tar -cf "$0" .', "OUT"),
        f"{PLACE}'frog'$",
    ),
    refused("an empty class folder in a part", zipped({**parts(train=4, test=1), "train/frog/": b""}), "'train/frog'$"),
    refused(
        "an empty class folder in an empty part", zipped({**parts(train=4, test=1), "val/frog/": b""}), "'val/frog'$"
    ),
    refused("an empty folder below a class", zipped({**folders("cat dog", inner="x/"), "frog/x/": b""}), "'frog'$"),
    refused("a class of a system's files", tarred({**PETS, "frog/.DS_Store": b"\0"}), f"{PLACE}'frog'$"),
    taken(
        "empty folders that are no classes",
        zipped({"./": b"", **PETS, "cat/": b"", "cat/old/": b"", "val/": b"", "__MACOSX/": b"", ".git/refs/": b""}),
        FOUR_ONE,
        notes=["nothing lies in 'cat/old' and 'val'"],
    ),
    taken(
        "an empty part with its classes",
        zipped({**parts(train=4, test=1), "val/": b"", "val/cat/": b"", "val/dog/": b""}),
        FOUR_ONE,
        notes=["nothing lies in 'val'"],
    ),
    taken(
        "a class folder with a text alone",
        zipped({**PETS, "docs/a.txt": b"x"}),
        FOUR_ONE,
        notes=["'docs' held no images, only text"],
        left_out={"docs/a.txt": "was not used"},
    ),
]

CLASSES: list[Row] = [
    refused(
        "Tiny-ImageNet, a listed class without images",
        zipped({**tiny_imagenet(), "tiny/wnids.txt": b"n02012849\nn03126707\nn01443537\nn07\n"}),
        "'n07' is a class by 'tiny/wnids.txt', and has no training image",
        remedy="or take it out of 'tiny/wnids.txt'",
    ),
    refused(
        "Tiny-ImageNet, an empty folder",
        zipped({**tiny_imagenet(), "tiny/train/n07/images/": b""}),
        "'n07' is a class by 'tiny/train/n07'",
    ),
    refused(
        "Tiny-ImageNet, a folder with boxes alone",
        zipped({**tiny_imagenet(), "tiny/train/n07/n07_boxes.txt": b"x"}),
        "'n07' is a class by 'tiny/train/n07'",
    ),
    refused(
        "Label Studio, a class without files",
        zipped({**FLAT, "p.json": _tasks({"file": "gone.png", "choice": "frog"})}),
        "'frog' is a class of 'p.json' of which no image is here",
    ),
    refused(
        "Label Studio, a class of skipped annotations",
        zipped({**FLAT, "p.json": _tasks({"file": "1.png", "choice": "frog", "cancelled": True})}),
        "'frog' is a class of 'p.json' of which no image is here",
    ),
    taken(
        "WebDataset's list with a class more",
        tarred(
            {
                **flat(),
                **{f"{n}.cls": str(n % 2).encode() for n in range(10)},
                "classes.txt": b"cat\ndog\nfrog\n",
            }
        ),
        FOUR_ONE,
        notes=["are explained by", "no image is here of 'frog', which 'classes.txt' names"],
    ),
    refused("1 and 1.0", zipped({**FLAT, "l.csv": table(FLAT, "1 1.0 0")}), "'1.0' and '1' are one number in two"),
    refused("1 and 01 as folders", zipped(folders("1 01")), "'1' and '01' are one number in two spellings"),
    taken(
        "an empty text in Parquet is no label",
        alone(plain_parquet({"image": [*IMAGES, photo("frog")], "label": [*NAMES, " "]})),
        FOUR_ONE,
        left_out={"00010.png": "has no label"},
    ),
    refused(
        "a class of Parquet whose images cannot be read",
        alone(plain_parquet({"image": [*IMAGES, b"junk"], "label": [*NAMES, "frog"]})),
        "'00010' cannot be read: .*, and nothing is left of the class 'frog'",
        reading=Reading(bad_images="skip"),
    ),
    refused(
        "a name of Parquet that cannot be shown",
        alone(plain_parquet({"image": IMAGES, "label": ["a\u200bb"] * 2 + NAMES[2:]})),
        "is no class name",
        remedy="where that file has its labels",
    ),
    refused(
        "a name of a table that cannot be shown",
        zipped({**FLAT, "l.csv": table(FLAT, "a\u200bb dog")}),
        "is no class name",
        remedy="Write another name for it in 'l.csv'",
    ),
]


def _codes(count: int, names: str = "0 1") -> bytes:
    return table(flat(count=count), names, header="id_code,diagnosis").replace(b".png", b"")


APTOS = {
    **flat("train_images/train_images/", "0 1", part="train"),
    **flat("val_images/val_images/", "0 1", count=1, part="val"),
    **flat("test_images/test_images/", "0 1", count=2, part="test"),
    "train_1.csv": _codes(5),
    "valid.csv": _codes(1),
    "test.csv": _codes(2),
}
BOXES = {f"labels/train/{n}.txt": b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.2 0.2\n" for n in range(10)}
COCO = json.dumps({"images": [], "annotations": [{"bbox": [1, 1, 4, 4]}], "categories": []}).encode()
BOTH_COLUMNS = csv_rows([str(n % 2) for n in range(10)], "file,class,class_id")
AS_DETECTION = "as data sets for object detection do"

OTHER_LAYOUTS: list[Row] = [
    taken(
        "APTOS: folders of parts within themselves",
        zipped(APTOS),
        {"0": (6, 2), "1": (6, 2)},
        notes=["validation images became", *["'diagnosis' of .* was taken for the classes"] * 3],
    ),
    refused(
        "YOLO", zipped({**flat("images/train/"), **BOXES, "data.yaml": b"x"}), f"0.txt' holds boxes .*{AS_DETECTION}"
    ),
    refused(
        "YOLO of Roboflow",
        zipped({**flat("train/images/"), **{n.replace("labels/train", "train/labels"): c for n, c in BOXES.items()}}),
        AS_DETECTION,
        remedy="Folder Structure",
    ),
    refused("COCO", zipped({**flat("train/"), "train/_annotations.coco.json": COCO}), "as COCO writes them"),
    refused(
        "Pascal VOC",
        zipped({**flat("JPEGImages/"), **{f"Annotations/{n}.xml": b"<annotation/>" for n in range(10)}}),
        "as Pascal VOC writes them",
    ),
    taken(
        "class folders with boxes beside each image",
        zipped({**PETS, "cat/0.txt": b"0 0.5 0.5 0.2 0.2\n"}),
        FOUR_ONE,
        left_out={"cat/0.txt": "was not used"},
    ),
    refused("images and masks", zipped({**flat("images/"), **flat("masks/")}), "images and their masks"),
    taken(
        "class and class_id",
        zipped({**FLAT, "l.csv": BOTH_COLUMNS}),
        FOUR_ONE,
        notes=["'class_id' of 'l.csv' stands one to one for 'class'"],
    ),
    refused(
        "class and class_id that disagree",
        zipped({**FLAT, "l.csv": BOTH_COLUMNS.replace(b"dog,1", b"dog,0", 1)}),
        "its classes may stand in 'class' or 'class_id'",
    ),
    refused(
        "a part within a class",
        zipped({**PETS, **folders("frog", inner="test/")}),
        "'frog/test/0.png' lies in 'test', which is called as a part, within 'frog'",
        remedy="test/frog/<image>; or move the images up into 'frog'",
    ),
]

UNUSED: list[Row] = [
    *(
        refused(
            f"{name}, which is not read, for a part",
            zipped({**parts(train=4, val=1), name: content}),
            f"'{name}' is called as the test part, of which no image is here, and is a",
            remedy="Unpack it",
        )
        for name, content in (("test.zip", b"PK\x03\x04" + bytes(50)), ("data/test.arrow", b"ARROW1\0\0"))
    ),
    taken(
        "train.zip beside what was in it",
        zipped({**parts(train=4, test=1), "train.zip": b"PK\x03\x04" + bytes(50)}),
        FOUR_ONE,
        left_out={"train.zip": "is a zip"},
    ),
    taken(
        "lists of parts, as Food-101 has them",
        zipped(
            {**folders("cat dog", before="images/"), "meta/test.txt": b"cat/4\ndog/4\n", "meta/classes.txt": b"cat\n"}
        ),
        FOUR_ONE,
        notes=["'meta/test.txt' lists images and is called as parts"],
        left_out=dict.fromkeys(("meta/test.txt", "meta/classes.txt"), "was not used"),
    ),
    refused(
        "a sheet beside images in one folder",
        zipped({**FLAT, "labels.xlsx": b"PK\x03\x04" + bytes(50)}),
        r"one class only, 'images' \(nothing was read of 'labels.xlsx'\)",
        remedy="send it as CSV",
    ),
    refused(
        "an empty part in a table beside class folders",
        zipped({**PETS, "l.csv": b"file,label,split\ncat/0.png,cat,train\ncat/1.png,cat,test\ndog/1.png,dog,\n"}),
        "'l.csv' says no part of 'dog/1.png' in line 4",
    ),
]

ROWS: list[Row] = [*UNUSED, *EMPTY_FOLDERS, *CLASSES, *OTHER_LAYOUTS]
