"""Samples of WebDataset's, and Tiny-ImageNet.

The shards are those that webdataset 1.0.2 writes (ShardWriter: `sample0000.cls`, `.json`, `.png`); Tiny-ImageNet is as published.
"""

import json

import pytest

from .reading import Texts, classes, of_classes, parts, read, refused

# --- WebDataset

SHARDS = [f"sample{index:04d}" for index in range(8)]


def shard(keys: list[str], before: str = "", names: tuple[str, str] = ("0", "1"), suffix: str = "cls") -> Texts:
    of = {key: names[at % 2] for at, key in enumerate(keys)}
    if suffix == "json":
        return {f"{before}{key}.json": json.dumps({"label": int(name), "source": "x"}) for key, name in of.items()}
    return {f"{before}{key}.{suffix}": name for key, name in of.items()}


@pytest.mark.parametrize("before", ["", "pets/", "v1.0/", "v1.0/pets-000000.tar/"])
@pytest.mark.parametrize("suffix", ["cls", "CLS", "json", "both"])
def test_webdataset(before: str, suffix: str) -> None:
    images = [f"{before}{key}.png" for key in SHARDS]
    texts = {**shard(SHARDS, before, suffix="cls"), **shard(SHARDS, before, suffix="json")}
    texts = texts if suffix == "both" else {**shard(SHARDS, before, suffix=suffix)}
    layout = read(images, texts)
    assert classes(layout, images) == {path: str(at % 2) for at, path in enumerate(images)}
    assert (layout.layout, layout.left_out) == ("WebDataset's samples", ())
    called = read(images, {**texts, "classes.txt": "cat\ndog\n"})
    assert classes(called, images) == {path: ("cat", "dog")[at % 2] for at, path in enumerate(images)}
    info = {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}
    assert read(images, {**texts, "dataset_info.json": json.dumps(info)}).images == called.images


@pytest.mark.parametrize(
    ("train", "test"),
    [("train/", "val/"), ("train/000.tar/", "test/000.tar/"), ("pets-train-000000.tar/", "pets-val-000000.tar/")],
)
def test_webdataset_in_parts(train: str, test: str) -> None:
    images = [f"{part}{key}.jpg" for part in (train, test) for key in SHARDS]
    texts = {**shard(SHARDS, train, ("cat", "dog")), **shard(SHARDS, test, ("cat", "dog"))}
    layout = read(images, texts)
    assert set(classes(layout, images).values()) == {"cat", "dog"}
    assert parts(layout, images) == {path: "train" if path.startswith(train) else "test" for path in images}


@pytest.mark.parametrize(
    ("images", "texts", "words"),
    [
        (["a.png", "b.png"], {"a.cls": "0"}, "'b.png' has no label, where other images have one in a .cls or .json"),
        (["a.png", "b.png"], {"a.cls": "0", "b.cls": " \n"}, "'b.png' has no label: 'b.cls' says none"),
        (["a.png", "a.jpg"], {"a.cls": "0"}, "'a.jpg' and 'a.png' are both of the sample 'a'"),
        (["x.0.png", "x.1.png"], {"x.0.cls": "0", "x.cls": "1"}, "'x.1.png' and 'x.0.png' are both of the sample 'x'"),
        (
            ["a.png"],
            {"a.cls": "0", "a.json": '{"label": 1}'},
            "'a.png' has two labels: '0' in 'a.cls' and '1' in 'a.json'",
        ),
        (
            ["a.png"],
            {"a.cls": "2", "classes.txt": "cat\ndog"},
            "'a.cls' has '2' for 'a.png', which is none of the 2 classes",
        ),
        (["a.png"], {"a.cls": "0", "classes.txt": "cat\n\ndog"}, "'classes.txt' has no name for class 1"),
        (
            ["a.png"],
            {"a.cls": "0", "classes.txt": "cat", "x/classes.txt": "dog"},
            "names other classes than 'classes.txt'",
        ),
        (["a.png"], {"a.cls": b"\xfe0"}, "'a.cls' is not UTF-8"),
        (["a.png"], {"a.cls": b"\xff\xfe0"}, "'a.cls' begins as UTF-16 and is none"),
        (["a.png"], {"a.json": '{"label": 1}', "b.json": "{", "a.cls": "{"}, "has two labels"),
        (
            ["cat/1.png", "dog/2.png"],
            {"cat/1.cls": "dog", "dog/2.cls": "cat"},
            "'cat/1.png' is 'dog' by 'cat/1.cls', and lies in",
        ),
    ],
)
def test_webdataset_refused(images: list[str], texts: Texts, words: str) -> None:
    refused(words, images, texts)


def test_json_beside_images_that_says_no_label_is_no_webdataset() -> None:
    images = of_classes(3)
    texts = {path.replace(".png", ".json"): '{"shapes": []}' if "cat" in path else "{" for path in images}
    assert read(images, texts).images == read(images).images


# --- Tiny-ImageNet

WORDS = "n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane, derrick\nn04\tunused\n"
ANNOTATIONS = "val_0.JPEG\tn01\t0\t32\t44\t62\nval_1.JPEG\tn02\t0\t0\t1\t1\nval_2.JPEG\tn03\t0\t0\t1\t1\n"
TINY = [
    *(f"train/{wnid}/images/{wnid}_{at}.JPEG" for wnid in ("n01", "n02", "n03") for at in range(3)),
    *(f"val/images/val_{at}.JPEG" for at in range(3)),
    "test/images/test_0.JPEG",
]


@pytest.mark.parametrize("before", ["", "tiny-imagenet-200/"])
def test_tiny_imagenet(before: str) -> None:
    images = [before + path for path in TINY]
    texts = {
        "val/val_annotations.txt": ANNOTATIONS,
        "words.txt": WORDS,
        "wnids.txt": "n01\nn02\nn03",
        "train/n01/n01_boxes.txt": "x",
    }
    layout = read(images, {before + name: text for name, text in texts.items()})
    called = {"n01": "goldfish", "n02": "crane (n02)", "n03": "crane (n03)"}
    assert layout.classes == tuple(sorted(called.values()))
    found = {path.removeprefix(before): name for path, name in classes(layout, images).items()}
    assert all(name == called[path.split("/")[1]] for path, name in found.items() if path.startswith("train"))
    assert [found[f"val/images/val_{at}.JPEG"] for at in range(3)] == ["goldfish", "crane (n02)", "crane (n03)"]
    assert {path for path, part in parts(layout, images).items() if part == "test"} == set(images[9:12])
    assert [file.name for file in layout.left_out] == [images[-1]]
    assert layout.notes == ("1 test image had no label and was left out", "3 validation images became test images")


@pytest.mark.parametrize(
    ("more", "annotations", "words"),
    [
        (["val/images/val_9.JPEG"], ANNOTATIONS, "'val/images/val_9.JPEG' has no line in 'val/val_annotations.txt'"),
        (["val/other.JPEG"], ANNOTATIONS, "'val/other.JPEG' lies where Tiny-ImageNet, .* has no images"),
        ([], ANNOTATIONS + "val_0.JPEG\tn02\t0\t0\t1\t1\n", "two classes for 'val_0.JPEG': 'n01', and 'n02' in line 4"),
        ([], ANNOTATIONS.replace("n03", "n05"), "'test/n05' has no counterpart in train"),
    ],
)
def test_tiny_imagenet_refused(more: list[str], annotations: str, words: str) -> None:
    refused(words, [*TINY, *more], {"val/val_annotations.txt": annotations})


def test_a_class_of_samples_whose_images_cannot_be_read() -> None:
    images = [f"{i}.png" for i in range(4)]
    texts = {f"{i}.cls": "ab"[i % 2] for i in range(4)} | {"9.cls": "frog"}
    refused("'9.heic' is not an image, and so is every image of the class 'frog'", images, texts, ["9.heic"])
