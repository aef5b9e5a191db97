"""Folders and tables as people, Kaggle, Roboflow, FiftyOne, Label Studio, WebDataset and Ultralytics lay them out."""

import json

from noisegate.api.reading import Reading

from .photos import UNLABELLED, photo
from .rows import Files, Row, refused, taken
from .writers import backslashed, flat, folders, joined, parts, table, tarred, zipped

PETS = folders("cat dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
FOUR_TWO = {"cat": (4, 2), "dog": (4, 2)}
FLAT = flat("images/")
LABELS = table(FLAT)
TRAIN, TEST = flat("train/", part="train"), flat("test/", count=2, part="test")
AGREES = "agrees with the class folders"


def _lines(files: Files, names: str = "cat dog", separator: str = " ") -> bytes:
    each = names.split()
    return "".join(f"{path}{separator}{each[n % len(each)]}\n" for n, path in enumerate(files)).encode()


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
            rows.append({"id": n, "annotations": [{"id": n, "result": result, "was_cancelled": False}], "data": {"image": image}})
        else:
            rows.append({"image": image, "id": n, "choice": choice, "annotator": 1, "annotation_id": n, "lead_time": 1.5})
    if style == "CSV":
        return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows), ""]).encode()
    return json.dumps(rows).encode()


def _samples(names: str = "cat dog", count: int = 5, before: str = "", numbers: bool = False) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for n, (path, content) in enumerate(flat(before, names, count).items()):
        label = str(n % 2) if numbers else names.split()[n % 2]
        found |= {path: content, path.replace(".png", ".cls"): label.encode()}
    return found


def _tiny_imagenet() -> dict[str, bytes]:
    wnids = {"n02012849": "crane (n02012849)", "n03126707": "crane (n03126707)", "n01443537": "goldfish"}
    files: dict[str, bytes] = {"tiny/words.txt": b"n02012849\tcrane\nn03126707\tcrane\nn01443537\tgoldfish, Carassius auratus\n"}
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


def _renamed(files: Files, start: str) -> dict[str, bytes]:
    return {f"{start}{path.rpartition('/')[2]}": content for path, content in files.items()}


def _split_table() -> bytes:
    rows = [(f"a{n}.png", n, "train") for n in range(10)] + [(f"b{n}.png", n, "test") for n in range(4)]
    return "".join(["path,label,split\n", *(f"{file},{('cat', 'dog')[n % 2]},{part}\n" for file, n, part in rows)]).encode()


THREE = parts(train=4, val=1, test=2)
BOTH = {"cat": (5, 2), "dog": (5, 2)}
BECAME = "2 validation images became training images"

ROWS: list[Row] = [
    taken("class folders and two parts", zipped(parts(train=4, test=2)), FOUR_TWO),
    taken("Ultralytics: train, val, test", zipped(THREE), BOTH, notes=[BECAME]),
    taken("val for the test images", zipped(THREE), {"cat": (4, 3), "dog": (4, 3)}, val="test",
          reading=Reading(validation="test"), notes=["2 validation images became test images"]),
    taken("val left out", zipped(THREE), FOUR_TWO, reading=Reading(validation="leave_out"),
          notes=["2 validation images were left out"],
          left_out={f"val/{name}/0.png": "is a validation image" for name in ("cat", "dog")}),
    taken("train and val", zipped(parts(train=4, val=1)), FOUR_ONE, val="test", notes=["2 validation images became test images"]),
    taken("Training and Testing", zipped(joined(folders("cat dog", 4, "train", "Training/"), folders("cat dog", 2, "test", "Testing/"))),
          FOUR_TWO),
    taken("test_set within test_set", zipped(joined(folders("cat dog", 4, "train", "training_set/training_set/"),
                                                    folders("cat dog", 2, "test", "test_set/test_set/"))), FOUR_TWO),
    refused("val and valid", zipped(joined(THREE, folders("cat dog", 1, "val", "valid/"))), "'val' and 'valid' would both be"),
    refused("val and nothing to train from", zipped(parts(val=4)), "has a validation part and nothing to train from|lies|part"),
    taken("a class called train", zipped(folders("bus car train")), {name: (4, 1) for name in ("bus", "car", "train")},
          notes=["'train' was taken for a class"]),
    refused("a class called val", zipped(folders("cat dog val")), "'val' stands beside class folders"),
    refused("a class called test", tarred(folders("cat dog test")), "'test' stands beside class folders"),
    taken("a class called test, within parts", zipped(parts("cat test", train=4, test=2)), {"cat": (4, 2), "test": (4, 2)},
          notes=["'test' was taken for a class"]),
    refused("a class in test only", zipped(joined(parts(train=4, test=2), folders("frog", 2, "test", "test/"))),
            "'test/frog' has no counterpart in train"),
    refused("a test class in other capitals", zipped(joined(folders("cat dog", 4, "train", "train/"),
                                                            folders("Cat dog", 2, "test", "test/"))),
            "'test/Cat' has no counterpart in train, which has 'cat'"),
    refused("one image outside", zipped({**PETS, "9.png": photo("frog")}), "'9.png' lies"),
    refused("one folder deeper", zipped({**PETS, "cat/indoor/9.png": photo("frog")}), "its class may be 'cat' or 'indoor'"),
    taken("images below each class", zipped(folders("cat dog", inner="images/")), FOUR_ONE, notes=["images lie in 'images' below"]),
    refused("no folders, no table", zipped(flat()), "lie in no class folder, and no table says a class"),
    taken("labels.csv", zipped({**FLAT, "labels.csv": LABELS}), FOUR_ONE),
    taken("semicolons, CRLF, byte order mark", zipped({**FLAT, "labels.csv": b"\xef\xbb\xbf" + table(FLAT, mark=";", end="\r\n")}), FOUR_ONE),
    taken("tabs", zipped({**FLAT, "labels.tsv": table(FLAT, mark="\t")}), FOUR_ONE),
    taken("labels that look like numbers", zipped({**flat("i/", "01 NA"), "labels.csv": table(flat("i/", "01 NA"), "01 NA")}),
          {"01": (4, 1), "NA": (4, 1)}),
    taken("a label with a comma", zipped({f"i/{n}.png": photo(("a, b", "dog")[n % 2], None, n) for n in range(10)} | {
        "labels.csv": ("file,label\n" + "".join(f'{n}.png,{(chr(34) + "a, b" + chr(34), "dog")[n % 2]}\n' for n in range(10))).encode()}),
          {"a, b": (4, 1), "dog": (4, 1)}),
    refused("UTF-16 table", zipped({**FLAT, "labels.csv": LABELS.decode().encode("utf-16")}), "'labels.csv' is not UTF-8|zero bytes"),
    refused("Latin-1 table", zipped({**FLAT, "labels.csv": LABELS.replace(b"cat", b"K\xe4tzchen")}), "'labels.csv' is not UTF-8"),
    refused("no header", zipped({**FLAT, "labels.csv": LABELS.partition(b"\n")[2]}), "'labels.csv' has no header"),
    refused("a row cut short", zipped({**FLAT, "labels.csv": LABELS + b"9.png\n"}), "'labels.csv' has 1 cells in line 12"),
    refused("two columns of labels", zipped({**FLAT, "labels.csv": LABELS.replace(b"image,label", b"image,label,class").replace(b".png,", b".png,x,")}),
            "'labels.csv' names images, but its classes may stand in 'class' or 'label'"),
    refused("an image with two labels", zipped({**FLAT, "labels.csv": LABELS + b"0.png,dog\n"}),
            "'images/0.png' has two labels: 'cat' in line 2 of 'labels.csv', and 'dog' in line 12"),
    taken("a row twice, rows too many, an image too many",
          zipped({**FLAT, "images/extra.png": photo(UNLABELLED), "labels.csv": LABELS + b"0.png,cat\ngone.png,cat\n"}), FOUR_ONE,
          notes=["1 of 12 rows of 'labels.csv' names no image", "1 image was named by several rows", "1 image had no label"],
          left_out={"images/extra.png": "has no label in 'labels.csv'"}),
    taken("a table that agrees with folders", zipped({**PETS, "labels.csv": b"image,label\ncat/0.png,cat\ndog/0.png,dog\n"}), FOUR_ONE, notes=[AGREES]),
    refused("a table that contradicts folders", zipped({**PETS, "labels.csv": b"image,label\ncat/0.png,dog\ndog/0.png,dog\n"}),
            "'cat/0.png' is 'dog' by line 2 of 'labels.csv', and lies in the folder 'cat'"),
    taken("numbers for the folders", zipped({**PETS, "labels.csv": b"image,label\ncat/0.png,0\ndog/0.png,1\ncat/1.png,0\n"}), FOUR_ONE, notes=[AGREES]),
    taken("Kaggle", zipped(_kaggle()), FOUR_ONE,
          notes=["'sample_submission.csv' was passed over", "2 images had no label in 'train.csv'"],
          left_out={"test/0.png": "has no label", "test/1.png": "has no label", "sample_submission.csv": "says nothing of the images"}),
    taken("Kaggle's digits, without suffixes", zipped({**flat("train/"), "train.csv": table(TRAIN, header="id,label").replace(b".png", b"")}), FOUR_ONE),
    taken("metadata.jsonl of Hugging Face, for each part", zipped({**TRAIN, **TEST, "train/metadata.jsonl": _jsonl(TRAIN),
                                                                   "test/metadata.jsonl": _jsonl(TEST)}), {"cat": (5, 2), "dog": (5, 2)}),
    taken("metadata.csv of Hugging Face", tarred({**FLAT, "metadata.csv": b"file_name,label\n" + b"".join(
        f"{path},{('cat', 'dog')[n % 2]}\n".encode() for n, path in enumerate(FLAT))}, "tar.gz"), FOUR_ONE),
    taken("a list of lines", zipped({**FLAT, "list.txt": _lines(FLAT)}), FOUR_ONE),
    taken("a column for the part", zipped({**_renamed(TRAIN, "i/a"), **_renamed(TEST, "i/b"), "labels.csv": _split_table()}),
          {"cat": (5, 2), "dog": (5, 2)}),
    taken("Roboflow", zipped(_roboflow()), BOTH, notes=[BECAME, *["has a column for each class"] * 3],
          left_out={"README.roboflow.txt": "says nothing"}),
    taken("FiftyOne", zipped({**flat("data/"), "labels.json": _fiftyone("", flat("data/"))}), FOUR_ONE),
    taken("FiftyOne, for each part", zipped({**flat("train/data/", part="train"), "train/labels.json": _fiftyone("", flat("train/data/")),
          **flat("test/data/", count=2, part="test"), "test/labels.json": _fiftyone("", flat("test/data/", count=2))}), {"cat": (5, 2), "dog": (5, 2)}),
    taken("FiftyOne's tree with _unlabeled", zipped({**PETS, "_unlabeled/0.png": photo(UNLABELLED)}), FOUR_ONE,
          notes=["1 image in '_unlabeled' had no label"], left_out={"_unlabeled/0.png": "is no class"}),
    *(taken(f"Label Studio, {style}", zipped({**FLAT, name: _label_studio(FLAT, style)}), FOUR_ONE, notes=["Label Studio's export"])
      for style, name in (("CSV", "project-1.csv"), ("JSON-MIN", "project-1.json"), ("JSON", "project-1.json"))),
    taken("Tiny-ImageNet", zipped(_tiny_imagenet()), {name: (4, 1) for name in ("crane (n02012849)", "crane (n03126707)", "goldfish")}, val="test",
          notes=["3 validation images became test images", "1 test image had no label"],
          left_out={"tiny/test/images/test_0.JPEG": "test image of Tiny-ImageNet"}),
    taken("WebDataset", tarred(_samples()), FOUR_ONE),
    taken("WebDataset, with the names of numbers", tarred({**_samples(numbers=True), "classes.txt": b"cat\ndog\n"}), FOUR_ONE, notes=["are explained by 'classes.txt'"]),
    taken("WebDataset, numbers alone", tarred(_samples("0 1", numbers=True)), {"0": (4, 1), "1": (4, 1)}),
    taken("WebDataset, label in JSON", tarred({**flat("s/"), **{path.replace(".png", ".json"): json.dumps({"label": ("cat", "dog")[n % 2]}).encode()
                                                               for n, path in enumerate(flat("s/"))}}), FOUR_ONE),
    taken("WebDataset in folders of shards", zipped({**_samples(before="pets-train-0000.tar/", count=4), **_samples(before="pets-val-0000.tar/", count=1)}),
          {"cat": (4, 1), "dog": (4, 1)}, notes=["2 validation images became test images"]),
    refused("WebDataset, a label missing", tarred({name: c for name, c in _samples().items() if name != "3.cls"}), "'3.png' has no label"),
    refused("WebDataset, a number beyond the names", tarred({**_samples(numbers=True), "classes.txt": b"cat\n"}), "'1.cls'|'1.png'"),
    taken("a table in a zip with backslashes", backslashed({**FLAT, "labels.csv": table(FLAT)}), FOUR_ONE),
    taken("a table with backslashes", zipped({**FLAT, "labels.csv": b"path,label\n" + b"".join(
        f"C:\\data\\images\\{n}.png,{('cat', 'dog')[n % 2]}\n".encode() for n in range(10))}), FOUR_ONE),
    taken("val and a table", zipped({**flat("train/", part="train"), **flat("val/", count=1, part="val"),
          "train.csv": table(TRAIN), "val.csv": table(flat(count=1))}), {"cat": (5, 1), "dog": (5, 1)}, val="test", notes=["became test images"]),
    refused("one name in two folders", zipped({**flat("a/"), **flat("b/"), "labels.csv": table(FLAT)}), "'0.png' in line 2 of 'labels.csv' may be 'a/0.png' or 'b/0.png'"),
    taken("a table by names that several folders have", zipped({**PETS, "labels.csv": b"image,label\n0.png,cat\n0.png,dog\n"}), FOUR_ONE,
          notes=[AGREES]),
]
