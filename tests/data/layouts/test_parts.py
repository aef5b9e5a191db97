"""Parts and the folders around classes."""

import itertools

import pytest

from noisegate.api.reading import Validation
from noisegate.errors import InvalidArchive

from .reading import classes, of_classes, parts, read, refused

FIVE = of_classes(5)


def by_folder(images: list[str], at: int = -2) -> dict[str, str]:
    return {path: path.split("/")[at] for path in images}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("TRAIN", "VALIDATION", "TESTING"),
        ("Training", "dev", "Testing"),
        ("training_set", "val-set", "test_set"),
        ("train_images", "valid data", "testset"),
    ],
)
@pytest.mark.parametrize("before", ["", "pets/", "content/drive/my pets/"])
def test_words_for_parts(train: str, validation: str, test: str, before: str) -> None:
    images = [path for part in (train, validation, test) for path in of_classes(3, before=f"{before}{part}/")]
    layout = read(images)
    assert classes(layout, images) == by_folder(images)
    expected = {path: "test" if f"{before}{test}/" in path else "train" for path in images}
    assert parts(layout, images) == expected
    assert any("6 validation images became training images" in note for note in layout.notes)
    assert repr(validation) in layout.layout


def test_validation_is_the_test_where_there_is_no_other() -> None:
    images = [*of_classes(4, before="train/"), *of_classes(2, before="val/")]
    layout = read(images)
    assert parts(layout, images) == {path: "test" if path.startswith("val/") else "train" for path in images}
    as_test = [path.replace("val/", "test/") for path in images]
    # The names of images are those of a test part: the same data set has the same hash.
    assert layout.images == read(as_test).images


@pytest.mark.parametrize("validation", ["auto", "train", "test", "leave_out"])
def test_what_becomes_of_validation(validation: Validation) -> None:
    images = [path for part in ("train", "val", "test") for path in of_classes(3, before=f"{part}/")]
    layout = read(images, validation=validation)
    side = {"auto": "train", "train": "train", "test": "test", "leave_out": None}[validation]
    expected = {path: side if path.startswith("val/") else path.split("/")[0] for path in images}
    assert parts(layout, images) == {path: part for path, part in expected.items() if part}
    left_out = [file.name for file in layout.left_out]
    assert left_out == ([path for path in images if path.startswith("val/")] if side is None else [])


@pytest.mark.parametrize("validation", ["train", "test", "auto"])
def test_the_same_file_name_in_two_parts_is_two_images_in_any_order(validation: Validation) -> None:
    images = [path for part in ("train", "val", "test") for path in of_classes(3, before=f"{part}/")]
    orders = []
    for shuffled in itertools.islice(itertools.permutations(images), 0, 2000, 97):
        layout = read(shuffled, validation=validation)
        orders.append([shuffled[image.index] for image in layout.images])
    assert all(order == orders[0] for order in orders)


def test_without_test_images_validation_that_trains_is_split() -> None:
    images = [*of_classes(5, before="train/"), *of_classes(5, before="val/")]
    layout = read(images, validation="train")
    assert sum(image.split == "test" for image in layout.images) == 4
    assert len(classes(layout, images)) == 20


def test_folders_without_a_meaning_are_stripped_however_many() -> None:
    plain = read(FIVE)
    for before in ("pets/", "content/pets/", "a/b/c/d/e/f/", "test/", "test set/x/"):
        images = [f"{before}train/{path}" for path in FIVE] + [f"{before}val/{path}" for path in FIVE]
        assert classes(read(images), images) == by_folder(images)
    assert read([f"content/pets/{path}" for path in FIVE]) == plain


@pytest.mark.parametrize("within", ["images", "train", "2023", "a/b"])
@pytest.mark.parametrize("before", ["", "train/", "mine/"])
def test_one_folder_of_the_same_name_in_each_class_is_passed_through(before: str, within: str) -> None:
    images = [f"{before}{name}/{within}/{index}.JPEG" for name in ("n01", "n02") for index in range(4)]
    layout = read(images)
    assert set(classes(layout, images).values()) == {"n01", "n02"}
    assert any(f"{within!r} below each class folder" in note for note in layout.notes)


@pytest.mark.parametrize("twice", ["training_set/training_set", "train/images", "train/pets/photos"])
def test_folders_between_part_and_class(twice: str) -> None:
    test = twice.replace("train", "test").replace("testing", "test")
    images = of_classes(3, before=f"{twice}/") + of_classes(2, before=f"{test}/")
    layout = read(images)
    assert classes(layout, images) == by_folder(images)
    assert sum(image.split == "test" for image in layout.images) == 4


def test_a_class_called_train() -> None:
    images = of_classes(5, ("bus", "car", "train"), before="vehicles/")
    layout = read(images)
    assert layout.classes == ("bus", "car", "train")
    assert classes(layout, images) == by_folder(images)
    assert layout.notes == ("'train' was taken for a class, as images lie directly in it",)


def test_a_class_called_train_within_parts() -> None:
    images = [path for part in ("train", "test") for path in of_classes(3, ("bus", "train"), before=f"{part}/")]
    layout = read(images)
    assert classes(layout, images) == by_folder(images)
    assert parts(layout, images) == {path: path.split("/")[0] for path in images}


def test_test_images_without_a_class_are_left_out() -> None:
    images = [*of_classes(5, before="train/"), "test/1.png", "test/2.png"]
    layout = read(images)
    assert classes(layout, images) == by_folder(images[:-2])
    assert [file.name for file in layout.left_out] == ["test/1.png", "test/2.png"]
    assert layout.notes == ("2 images directly in 'test' had no label and were left out",)


def test_unlabelled_of_fiftyone_is_no_class() -> None:
    images = [*FIVE, "_unlabeled/1.png", "_unlabeled/2.png"]
    layout = read(images)
    assert layout.classes == ("cat", "dog")
    assert [file.name for file in layout.left_out] == images[-2:]
    assert layout.notes == ("2 images in '_unlabeled' had no label and were left out",)


def test_class_names_that_are_alike_are_kept_apart_and_named() -> None:
    images = of_classes(2, ("Cat", "cat", "hot dog", "hot  dog", "ﬁg", "fig", "owl"))
    layout = read(images)
    assert classes(layout, images) == by_folder(images)
    said = "differ only in capitals, blanks or forms of a letter, and were kept apart"
    assert [note.removesuffix(said).strip() for note in layout.notes] == [
        "the classes 'Cat' and 'cat'",
        "the classes 'fig' and 'ﬁg'",
        "the classes 'hot  dog' and 'hot dog'",
    ]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (["1.png", "2.png", "3.png"], "^'1.png' and 2 other images lie in no class folder, and no table says a class$"),
        (["train/1.png", "test/2.png"], "'train/1.png' lies directly in 'train', which was taken for the train part"),
        (["train/1.png", "train/2.png"], "'train/1.png' lies directly in 'train', .*: no folder and no table"),
        (
            [*of_classes(3, before="train/"), "train/7.png"],
            "'train/7.png' lies directly in 'train', which was taken for the train part, as it holds folders too",
        ),
        (
            [*of_classes(3, ("bus", "car")), "train/van/1.png"],
            "'bus/0.png' lies outside 'train', taken for the parts",
        ),
        (
            [*of_classes(3, before="train/"), *of_classes(3, before="test/"), "test/9.png"],
            "'test/9.png' lies directly in 'test', .* as it holds folders too",
        ),
        ([*of_classes(3, before="train/"), *of_classes(3, before="extra/")], "'extra/cat/0.png' lies outside 'train'"),
        ([*FIVE, "test/1.png", "test/2.png"], "'test' stands beside class folders: it may be a class of that name"),
        ([*FIVE, "Valid/1.png"], "'Valid' stands beside class folders"),
        (
            [*of_classes(3, before="train/"), *of_classes(3, before="Train/")],
            "'Train' and 'train' would both be the train part",
        ),
        (
            [*of_classes(3, before="train/"), *of_classes(3, before="val/"), *of_classes(3, before="dev/")],
            "'dev' and 'val' would both be the validation part",
        ),
        (["cat/a/1.png", "cat/b/1.png", "dog/a/1.png"], "its class may be 'a' or 'cat'"),
        (
            of_classes(3, before="seg_train/") + of_classes(2, before="seg_test/"),
            "its class may be 'cat' or 'seg_train'",
        ),
        (of_classes(3, before="val/"), "the archive has a validation part and nothing to train from"),
        (
            [*of_classes(3, before="train/"), "test/Cat/1.png", "test/dog/1.png"],
            "'test/Cat' has no counterpart in train, which has 'cat'",
        ),
    ],
)
def test_folders_that_may_mean_two_things(images: list[str], words: str) -> None:
    refused(words, images)


def test_classes_that_would_be_left_out_with_the_validation_images() -> None:
    images = [*of_classes(3, before="train/"), *of_classes(2, ("cat", "frog"), before="val/")]
    with pytest.raises(InvalidArchive, match="'frog' has validation images alone"):
        read(images, validation="leave_out")


@pytest.mark.parametrize("validation", ["train", "test", "leave_out"])
@pytest.mark.parametrize("parts", [("",), ("train/", "test/")])
def test_what_becomes_of_a_part_that_is_not_there_is_refused(validation: Validation, parts: tuple[str, ...]) -> None:
    images = [path for part in parts for path in of_classes(3, before=part)]
    with pytest.raises(InvalidArchive, match=f"validation={validation} was asked for") as refusal:
        read(images, validation=validation)
    assert refusal.value.field == "validation"
    assert refusal.value.remedy
