"""Folders of classes and of parts, and what must not be taken for the one or the other."""

from noisegate.api.reading import Reading

from .photos import photo
from .rows import Row, refused, taken
from .writers import flat, folders, joined, parts, tarred, zipped

PETS = folders("cat dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
FOUR_TWO = {"cat": (4, 2), "dog": (4, 2)}
THREE = parts(train=4, val=1, test=2)
BOTH = {"cat": (5, 2), "dog": (5, 2)}
BECAME = "2 validation images became training images"


ROWS: list[Row] = [
    taken("class folders and two parts", zipped(parts(train=4, test=2)), FOUR_TWO),
    taken("Ultralytics: train, val, test", zipped(THREE), BOTH, notes=[BECAME]),
    taken(
        "val for the test images",
        zipped(THREE),
        {"cat": (4, 3), "dog": (4, 3)},
        val="test",
        reading=Reading(validation="test"),
        notes=["2 validation images became test images"],
    ),
    taken(
        "val left out",
        zipped(THREE),
        FOUR_TWO,
        reading=Reading(validation="leave_out"),
        notes=["2 validation images were left out"],
        left_out={f"val/{name}/0.png": "is a validation image" for name in ("cat", "dog")},
    ),
    taken(
        "train and val",
        zipped(parts(train=4, val=1)),
        FOUR_ONE,
        val="test",
        notes=["2 validation images became test images"],
    ),
    taken(
        "Training and Testing",
        zipped(joined(folders("cat dog", 4, "train", "Training/"), folders("cat dog", 2, "test", "Testing/"))),
        FOUR_TWO,
    ),
    taken(
        "test_set within test_set",
        zipped(
            joined(
                folders("cat dog", 4, "train", "training_set/training_set/"),
                folders("cat dog", 2, "test", "test_set/test_set/"),
            )
        ),
        FOUR_TWO,
    ),
    refused(
        "val and valid",
        zipped(joined(THREE, folders("cat dog", 1, "val", "valid/"))),
        "'val' and 'valid' would both be",
    ),
    refused(
        "val and nothing to train from",
        zipped(parts(val=4)),
        "has a validation part and nothing to train from",
    ),
    taken(
        "a class called train",
        zipped(folders("bus car train")),
        dict.fromkeys(("bus", "car", "train"), (4, 1)),
        notes=["'train' was taken for a class"],
    ),
    refused("a class called val", zipped(folders("cat dog val")), "'val' stands beside class folders"),
    refused("a class called test", tarred(folders("cat dog test")), "'test' stands beside class folders"),
    taken(
        "a class called test, within parts",
        zipped(parts("cat test", train=4, test=2)),
        {"cat": (4, 2), "test": (4, 2)},
        notes=["'test' was taken for a class"],
    ),
    refused(
        "a class in test only",
        zipped(joined(parts(train=4, test=2), folders("frog", 2, "test", "test/"))),
        "'test/frog' has no counterpart in train",
    ),
    refused(
        "a test class in other capitals",
        zipped(joined(folders("cat dog", 4, "train", "train/"), folders("Cat dog", 2, "test", "test/"))),
        "'test/Cat' has no counterpart in train, which has 'cat'",
    ),
    refused("one image outside", zipped({**PETS, "9.png": photo("frog")}), "'9.png' lies"),
    refused(
        "one folder deeper", zipped({**PETS, "cat/indoor/9.png": photo("frog")}), "its class may be 'cat' or 'indoor'"
    ),
    taken(
        "images below each class",
        zipped(folders("cat dog", inner="images/")),
        FOUR_ONE,
        notes=["images lie in 'images' below"],
    ),
    refused("no folders, no table", zipped(flat()), "lie in no class folder, and no table says a class"),
]
