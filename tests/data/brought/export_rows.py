"""What Kaggle, Hugging Face, Roboflow, FiftyOne, Label Studio, Tiny-ImageNet and WebDataset publish or export."""

import json

from .photos import UNLABELLED, photo
from .rows import Files, Row, refused, taken
from .writers import flat, folders, table, tarred, zipped

PETS = folders("cat dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
FLAT = flat("images/")
TRAIN, TEST = flat("train/", part="train"), flat("test/", count=2, part="test")
BOTH = {"cat": (5, 2), "dog": (5, 2)}
BECAME = "2 validation images became training images"


def _jsonl(files: Files) -> bytes:
    rows = [{"file_name": path.rpartition("/")[2], "label": ("cat", "dog")[n % 2]} for n, path in enumerate(files)]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def _fiftyone(before: str, files: Files) -> bytes:
    labels = {path.rpartition("/")[2].removesuffix(".png"): n % 2 for n, path in enumerate(files)}
    return json.dumps({"classes": ["cat", "dog"], "labels": labels}).encode()


def _label_studio(files: Files, style: str) -> bytes:
    rows = []
    for n, path in enumerate(files):
        choice, image = ("cat", "dog")[n % 2], f"/data/upload/1/ab12cd3{n:x}-{path.rpartition('/')[2]}"
        if style == "JSON":
            result = [{"type": "choices", "value": {"choices": [choice]}}]
            rows.append(
                {
                    "id": n,
                    "annotations": [{"id": n, "result": result, "was_cancelled": False}],
                    "data": {"image": image},
                }
            )
        else:
            rows.append(
                {"image": image, "id": n, "choice": choice, "annotator": 1, "annotation_id": n, "lead_time": 1.5}
            )
    if style == "CSV":
        return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows), ""]).encode()
    return json.dumps(rows).encode()


def _samples(names: str = "cat dog", count: int = 5, before: str = "", numbers: bool = False) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for n, (path, content) in enumerate(flat(before, names, count).items()):
        label = str(n % 2) if numbers else names.split()[n % 2]
        found |= {path: content, path.replace(".png", ".cls"): label.encode()}
    return found


def tiny_imagenet() -> dict[str, bytes]:
    wnids = {"n02012849": "crane (n02012849)", "n03126707": "crane (n03126707)", "n01443537": "goldfish"}
    files: dict[str, bytes] = {
        "tiny/words.txt": b"n02012849\tcrane\nn03126707\tcrane\nn01443537\tgoldfish, Carassius auratus\n"
    }
    lines = []
    for wnid, name in wnids.items():
        for n in range(4):
            files[f"tiny/train/{wnid}/images/{wnid}_{n}.JPEG"] = photo(name, "train", n, "JPEG")
        files[f"tiny/val/images/{wnid}.JPEG"] = photo(name, "val", 0, "JPEG")
        lines.append(f"{wnid}.JPEG\t{wnid}\t0\t0\t9\t9")
    files["tiny/val/val_annotations.txt"] = "\n".join(lines).encode()
    files["tiny/test/images/test_0.JPEG"] = photo(UNLABELLED, None, 0, "JPEG")
    return files


def _roboflow() -> dict[str, bytes]:
    files: dict[str, bytes] = {"README.roboflow.txt": b"pets"}
    for part, folder, count in (("train", "train", 4), ("val", "valid", 1), ("test", "test", 2)):
        images = flat(f"{folder}/", count=count, part=part)  # type: ignore[arg-type]
        rows = [f"{path.rpartition('/')[2]},{1 - n % 2},{n % 2}" for n, path in enumerate(images)]
        files |= images | {f"{folder}/_classes.csv": "\n".join(["filename, cat, dog", *rows]).encode()}
    return files


def _kaggle() -> dict[str, bytes]:
    files = flat("train/")
    rows = [f"{path.rpartition('/')[2]},{('cat', 'dog')[n % 2]}" for n, path in enumerate(files)]
    files |= {"test/0.png": photo(UNLABELLED), "test/1.png": photo(UNLABELLED, None, 1)}
    files["train.csv"] = "\n".join(["image_id,label", *rows]).encode()
    files["sample_submission.csv"] = b"image_id,label\n0.png,cat\n1.png,cat\n"
    return files


ROWS: list[Row] = [
    taken(
        "Kaggle",
        zipped(_kaggle()),
        FOUR_ONE,
        notes=["'sample_submission.csv' was passed over", "2 images had no label in 'train.csv'"],
        left_out={
            "test/0.png": "has no label",
            "test/1.png": "has no label",
            "sample_submission.csv": "was not used",
        },
    ),
    taken(
        "Kaggle's digits, without suffixes",
        zipped({**flat("train/"), "train.csv": table(TRAIN, header="id,label").replace(b".png", b"")}),
        FOUR_ONE,
    ),
    taken(
        "metadata.jsonl of Hugging Face, for each part",
        zipped({**TRAIN, **TEST, "train/metadata.jsonl": _jsonl(TRAIN), "test/metadata.jsonl": _jsonl(TEST)}),
        {"cat": (5, 2), "dog": (5, 2)},
    ),
    taken(
        "metadata.csv of Hugging Face",
        tarred(
            {
                **FLAT,
                "metadata.csv": b"file_name,label\n"
                + b"".join(f"{path},{('cat', 'dog')[n % 2]}\n".encode() for n, path in enumerate(FLAT)),
            },
            "tar.gz",
        ),
        FOUR_ONE,
    ),
    taken(
        "Roboflow",
        zipped(_roboflow()),
        BOTH,
        notes=[BECAME, *["has a column for each class"] * 3],
        left_out={"README.roboflow.txt": "was not used"},
    ),
    taken("FiftyOne", zipped({**flat("data/"), "labels.json": _fiftyone("", flat("data/"))}), FOUR_ONE),
    taken(
        "FiftyOne, for each part",
        zipped(
            {
                **flat("train/data/", part="train"),
                "train/labels.json": _fiftyone("", flat("train/data/")),
                **flat("test/data/", count=2, part="test"),
                "test/labels.json": _fiftyone("", flat("test/data/", count=2)),
            }
        ),
        {"cat": (5, 2), "dog": (5, 2)},
    ),
    taken(
        "FiftyOne's tree with _unlabeled",
        zipped({**PETS, "_unlabeled/0.png": photo(UNLABELLED)}),
        FOUR_ONE,
        notes=["1 image in '_unlabeled' had no label"],
        left_out={"_unlabeled/0.png": "is no class"},
    ),
    *(
        taken(
            f"Label Studio, {style}",
            zipped({**FLAT, name: _label_studio(FLAT, style)}),
            FOUR_ONE,
            notes=["Label Studio's export"],
        )
        for style, name in (("CSV", "project-1.csv"), ("JSON-MIN", "project-1.json"), ("JSON", "project-1.json"))
    ),
    taken(
        "Tiny-ImageNet",
        zipped(tiny_imagenet()),
        dict.fromkeys(("crane (n02012849)", "crane (n03126707)", "goldfish"), (4, 1)),
        val="test",
        notes=["3 validation images became test images", "1 test image had no label"],
        left_out={"tiny/test/images/test_0.JPEG": "test image of Tiny-ImageNet"},
    ),
    taken("WebDataset", tarred(_samples()), FOUR_ONE),
    taken(
        "WebDataset, with the names of numbers",
        tarred({**_samples(numbers=True), "classes.txt": b"cat\ndog\n"}),
        FOUR_ONE,
        notes=["are explained by 'classes.txt'"],
    ),
    taken("WebDataset, numbers alone", tarred(_samples("0 1", numbers=True)), {"0": (4, 1), "1": (4, 1)}),
    taken(
        "WebDataset, label in JSON",
        tarred(
            {
                **flat("s/"),
                **{
                    path.replace(".png", ".json"): json.dumps({"label": ("cat", "dog")[n % 2]}).encode()
                    for n, path in enumerate(flat("s/"))
                },
            }
        ),
        FOUR_ONE,
    ),
    taken(
        "WebDataset in folders of shards",
        zipped({**_samples(before="pets-train-0000.tar/", count=4), **_samples(before="pets-val-0000.tar/", count=1)}),
        {"cat": (4, 1), "dog": (4, 1)},
        notes=["2 validation images became test images"],
    ),
    refused(
        "WebDataset's packed shards, packed again",
        zipped({f"pets-00000{n}.tar.gz": b"\x1f\x8b\x08" + bytes(600) for n in (0, 1)}),
        "2 files, all .gz, were passed over",
        remedy="Unpack them",
    ),
    refused(
        "WebDataset, a label missing",
        tarred({name: c for name, c in _samples().items() if name != "3.cls"}),
        "'3.png' has no label",
    ),
    refused(
        "WebDataset, a number beyond the names",
        tarred({**_samples(numbers=True), "classes.txt": b"cat\n"}),
        "'1.cls' has '1' for '1.png', which is none of the 1 classes",
    ),
]
