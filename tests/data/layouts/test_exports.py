"""What other tools write, as they write it.

Label Studio's files are those of label-studio-sdk 2.1.2 (its Converter, from four tasks) but for the names of files; FiftyOne's and
Roboflow's follow their documentation.
"""

import json

import pytest

from noisegate.data.layouts.numbered import class_of
from noisegate.data.layouts.references import base_name
from noisegate.errors import InvalidArchive

from .reading import classes, parts, read, refused

FOUR = ["1.png", "2.png", "3.png", "4.png"]
CATS_AND_DOGS = {"1.png": "cat", "2.png": "dog", "3.png": "cat", "4.png": "dog"}

# --- FiftyOne


def fiftyone(labels: dict[str, object], names: list[str] | None = None) -> str:
    return json.dumps({"labels": labels} if names is None else {"classes": names, "labels": labels})


BY_NUMBER = fiftyone({"1": 0, "2": 1, "3": 0, "4": 1}, ["cat", "dog", "owl"])


@pytest.mark.parametrize("before", ["", "export/", "a/b/"])
@pytest.mark.parametrize(
    "labels",
    [
        BY_NUMBER,
        fiftyone({"1": "cat", "2": "dog", "3": "cat", "4": "dog"}),
        fiftyone({"1.png": "cat", "2.png": "dog", "3": "cat", "4": "dog", "9": "owl"}),
        fiftyone({"1": {"label": 0, "confidence": 0.5}, "2": 1, "3": 0, "4": 1}, ["cat", "dog"]),
    ],
)
def test_fiftyone(before: str, labels: str) -> None:
    images = [f"{before}data/{file}" for file in FOUR]
    layout = read(images, {f"{before}labels.json": labels})
    assert classes(layout, images) == {f"{before}data/{file}": name for file, name in CATS_AND_DOGS.items()}
    assert layout.layout == "FiftyOne's data and labels.json"


def test_fiftyone_leaves_out_what_has_no_label_and_says_so() -> None:
    images = [f"data/{file}" for file in [*FOUR, "5.png", "6.png"]]
    layout = read(images, {"labels.json": fiftyone({"1": 0, "2": 1, "3": 0, "4": 1, "5": None}, ["cat", "dog"])})
    assert [file.name for file in layout.left_out] == ["data/5.png", "data/6.png"]
    assert "2 images had no label in 'labels.json' and were left out" in layout.notes


def test_fiftyone_in_parts() -> None:
    images = [f"{part}/data/{file}" for part in ("train", "validation") for file in FOUR]
    layout = read(images, {f"{part}/labels.json": BY_NUMBER for part in ("train", "validation")})
    assert classes(layout, images) == {path: CATS_AND_DOGS[path[-5:]] for path in images}
    assert parts(layout, images) == {path: "train" if path.startswith("train") else "test" for path in images}


@pytest.mark.parametrize(
    ("files", "labels", "words"),
    [
        (FOUR, fiftyone({"1": 0, "2": 2}, ["cat", "dog"]), "has '2' for '2', which is none of the 2 classes"),
        (FOUR, fiftyone({"1": -1}, ["cat", "dog"]), "has '-1' for '1'"),
        (FOUR, fiftyone({"1": True}, ["cat", "dog"]), "has 'true' for '1'"),
        (FOUR, fiftyone({"1": [0, 1]}, ["cat", "dog"]), "has no single label in '1'"),
        (FOUR, fiftyone({"1": 0, "2": 1}, ["cat", "cat"]), "calls classes 0 and 1 both 'cat'"),
        (FOUR, fiftyone({"1": 1}, ["1", "0"]), "has '1' for '1': class '0' by its number, or the one of that name"),
        (FOUR, '{"classes": ["a", "b"], "labels": {"1": 0, "1": 1}}', "'1' is there twice in one object"),
        (["1.png", "1.jpg"], BY_NUMBER, "'1' in '1' of 'labels.json' may be 'data/1.png' or 'data/1.jpg'"),
        (["8.png", "9.png"], BY_NUMBER, "none of 4 rows of 'labels.json' names an image of the archive"),
        (FOUR, "{", "'labels.json' is not JSON"),
    ],
)
def test_fiftyone_refused(files: list[str], labels: str, words: str) -> None:
    refused(words, [f"data/{file}" for file in files], {"labels.json": labels})


# --- Label Studio

CHOICES_CSV = """\
"annotation_id","annotator","choice","created_at","id","image","lead_time","updated_at"
1,"1","Cat","2026-01-01",1,"/data/upload/1/ab12cd31-cat_one.jpg",2.5,"2026-01-01"
2,"1","Dog","2026-01-01",2,"/data/upload/1/ab12cd32-dog.jpg",2.5,"2026-01-01"
"""
TWO_CHOICES = (
    '3,"1","{""choices"":[""Cat"",""Dog""]}","2026-01-01",3,"/data/upload/1/ab12cd33-x.jpg",2.5,"2026-01-01"\n'
)
NO_CHOICE = '4,"1","","2026-01-01",4,"/data/upload/1/ab12cd34-none.jpg",2.5,"2026-01-01"\n'


def minimal(image: str, choice: object, number: int = 1) -> dict[str, object]:
    entry = {"image": image, "id": number, "annotator": 1, "annotation_id": number, "lead_time": 2.5}
    return entry if choice is None else {**entry, "choice": choice}


def task(image: str, *choices: list[str], upload: str = "", cancelled: bool = False) -> dict[str, object]:
    def annotation(names: list[str]) -> dict[str, object]:
        result = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": names}}
        return {"id": 1, "completed_by": 1, "was_cancelled": cancelled, "result": [result]}

    return {"id": 1, "file_upload": upload, "data": {"image": image}, "annotations": [annotation(c) for c in choices]}


JSON_MIN = json.dumps([minimal("/data/upload/1/ab12cd31-cat_one.jpg", "Cat"), minimal("s3://b/x/dog.jpg", "Dog", 2)])
FULL = json.dumps(
    [
        task("https://host/data/cat_one.jpg?token=1", ["Cat"], ["Cat"]),
        task("/data/upload/1/a.jpg", ["Dog"], upload="ab12cd32-dog.jpg"),
    ]
)


@pytest.mark.parametrize("images", [["cat_one.jpg", "dog.jpg"], ["ab12cd31-cat_one.jpg", "ab12cd32-dog.jpg"]])
@pytest.mark.parametrize("folder", ["", "images/", "pets/images/"])
def test_label_studio_csv(images: list[str], folder: str) -> None:
    images = [f"{folder}{file}" for file in images] * 1 + [f"{folder}ab12cd35-cat.jpg", f"{folder}ab12cd36-dog2.jpg"]
    more = "".join(
        f'{number},"1","{name}","2026-01-01",{number},"/data/upload/1/{file}",1,"2026-01-01"\n'
        for number, name, file in ((5, "Cat", "ab12cd35-cat.jpg"), (6, "Dog", "ab12cd36-dog2.jpg"))
    )
    layout = read(images, {"project-1.csv": CHOICES_CSV + more + NO_CHOICE})
    assert list(classes(layout, images).values()).count("Cat") == 2
    assert {classes(layout, images)[images[0]], classes(layout, images)[images[2]]} == {"Cat"}
    assert any("1 of 5 rows of 'project-1.csv' names no image" in note for note in layout.notes)
    assert any("was read as Label Studio's export" in note for note in layout.notes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(JSON_MIN, {"cat_one.jpg": "Cat", "dog.jpg": "Dog"}), (FULL, {"cat_one.jpg": "Cat", "ab12cd32-dog.jpg": "Dog"})],
)
def test_label_studio_json(text: str, expected: dict[str, str]) -> None:
    more = [minimal(f"/data/local-files/?d=pets/{name}%20{at}.jpg", name) for name in ("Cat", "Dog") for at in (1, 2)]
    images = [*expected, *(f"{name} {at}.jpg" for name in ("Cat", "Dog") for at in (1, 2))]
    layout = read(images, {"export.json": text, "more.json": json.dumps(more)})
    assert classes(layout, images) == {**expected, **{file: file[:3] for file in images[2:]}}


@pytest.mark.parametrize(
    ("images", "text", "words"),
    [
        (["x.jpg"], CHOICES_CSV + TWO_CHOICES, "has 'Cat' and 'Dog' in line 4: an image of several classes"),
        (["x.jpg"], json.dumps([minimal("x.jpg", {"choices": ["A", "B"]})]), "has 'A' and 'B' in entry 1"),
        (["x.jpg"], json.dumps([task("x.jpg", ["A", "B"])]), "has 'A' and 'B' in entry 1"),
        (["x.jpg"], json.dumps([task("x.jpg", ["A"], ["B"])]), "'x.jpg' has two labels: 'A' in entry 1"),
        (["x.jpg"], json.dumps([task("x.jpg")]), "has a label"),
        (["x.jpg"], json.dumps([task("x.jpg", ["A"], cancelled=True)]), "has a label"),
        (["x.jpg"], CHOICES_CSV, "none of 2 rows of 'export' names an image of the archive: '/data/upload/1/ab12cd31"),
        (["a/dog.jpg", "b/c/dog.jpg"], CHOICES_CSV, "in line 3 of 'export' may be 'a/dog.jpg' or 'b/c/dog.jpg'"),
        (
            ["cat.jpg"],
            json.dumps([minimal("/1/ab12cd31-cat.jpg", "A"), minimal("/1/ab12cd32-cat.jpg", "A")]),
            "names '/1/ab12cd31-cat.jpg' in entry 1 and '/1/ab12cd32-cat.jpg' in entry 2, for which there is one image",
        ),
        (
            ["x.jpg"],
            json.dumps([{**minimal("x.jpg", "A"), "mood": "B", "colour": "C", "choice": "A", "class": "D"}]),
            "may name the classes in 'choice' or 'class'",
        ),
        (
            ["x.jpg"],
            json.dumps(
                [
                    {
                        "data": {"image": "x.jpg"},
                        "annotations": [{"result": [{"value": {"x": 1, "rectanglelabels": []}}]}],
                    }
                ]
            ),
            "something else than a choice in entry 1, such as a box",
        ),
    ],
)
def test_label_studio_refused(images: list[str], text: str, words: str) -> None:
    name = "export.json" if text.startswith("[") else "export.csv"
    refused(words.replace("'export'", f"'{name}'"), images, {name: text})


# --- Roboflow


def one_hot(*rows: str) -> str:
    return "\n".join(["filename, cat, dog, Unlabeled", *rows])


def test_roboflow() -> None:
    images = [f"{part}/{file}" for part in ("train", "valid", "test") for file in FOUR]
    rows = one_hot("1.png, 1, 0, 0", "2.png, 0, 1, 0", "3.png, 1, 0, 0", "4.png, 0, 1, 0")
    layout = read(images, {f"{part}/_classes.csv": rows for part in ("train", "valid", "test")})
    assert classes(layout, images) == {path: CATS_AND_DOGS[path[-5:]] for path in images}
    assert parts(layout, images) == {path: "test" if path.startswith("test") else "train" for path in images}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["1.png, 1, 1, 0"], "'train/_classes.csv' has 'cat' and 'dog' in line 2: an image of several classes"),
        (["1.png, 1, 0, 0", "2.png, 0, 2, 0"], "has '2' for 'dog' in line 3, where 0 or 1 belongs"),
        (["1.png, 0, 0, 0"], "no row of 'train/_classes.csv' has a label"),
    ],
)
def test_roboflow_refused(rows: list[str], words: str) -> None:
    refused(words, [f"train/{file}" for file in FOUR], {"train/_classes.csv": one_hot(*rows)})


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("/data/upload/1/ab12cd34-a.jpg", "ab12cd34-a.jpg"),
        ("/data/upload/1/100%25.jpg", "100%25.jpg"),
        ("https://host/x/a%20b.jpg?token=1#top", "a b.jpg"),
        ("s3://bucket/x/a?b.jpg", "a?b.jpg"),
        ("/data/local-files/?d=x/a%20b.jpg", "a b.jpg"),
        (r"x\y\a.jpg", "a.jpg"),
        ("//[x/a.jpg", "a.jpg"),
        ("a.jpg", "a.jpg"),
        ("", ""),
    ],
)
def test_the_file_at_the_end_of_an_address(written: str, name: str) -> None:
    assert base_name(written) == name


@pytest.mark.parametrize(("label", "name"), [("1", "b"), ("001", "b"), ("0" * 17 + "1", "b"), ("a", "a")])
def test_numbers_of_classes(label: str, name: str) -> None:
    assert class_of("x.json", label, ["a", "b"], "1.png") == name


@pytest.mark.parametrize("label", ["2", "0" * 18 + "1", "9" * 5000, "-1", "1.0", "²", "c", ""])
def test_numbers_of_no_class(label: str) -> None:
    with pytest.raises(InvalidArchive, match="which is none of the 2 classes"):
        class_of("x.json", label, ["a", "b"], "1.png")
