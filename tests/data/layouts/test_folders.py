import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.data.layouts import Contents, Layout, resolve_layout
from noisegate.errors import InvalidArchive


def resolved(paths: Sequence[str]) -> Layout:
    return resolve_layout(Contents(paths, [None] * len(paths)))


def paths(train: int, test: int, classes: tuple[str, ...] = ("cat", "dog")) -> list[str]:
    counts = {"train": train, "test": test}
    return [f"{split}/{name}/{i}.png" for split, count in counts.items() for name in classes for i in range(count)]


def unsplit(count: int, classes: tuple[str, ...] = ("cat", "dog")) -> list[str]:
    return [f"{name}/{index}.png" for name in classes for index in range(count)]


def as_given(layout: Layout, given: list[str]) -> list[tuple[str, str, str]]:
    return [(image.split, image.class_name, given[image.index]) for image in layout.images]


def test_folders_say_split_and_class() -> None:
    given = paths(4, 2)
    layout = resolved(given)
    assert layout.classes == ("cat", "dog")
    assert sorted(image.index for image in layout.images) == list(range(len(given)))
    for split, class_name, path in as_given(layout, given):
        assert path.startswith(f"{split}/{class_name}/")
    assert [image.split for image in layout.images] == ["train"] * 8 + ["test"] * 4


def test_classes_are_sorted_and_one_may_lack_test_images() -> None:
    given = [*paths(2, 1, ("b", "C", "a")), "train/10/1.png"]
    assert resolved(given).classes == ("10", "C", "a", "b")


@pytest.mark.parametrize("given", [paths(4, 2), paths(5, 0), unsplit(5)])
def test_a_common_top_folder_changes_nothing(given: list[str]) -> None:
    assert resolved([f"mydata/{path}" for path in given]) == resolved(given)


@pytest.mark.parametrize(
    ("size", "in_test"), [(2, 1), (3, 1), (5, 1), (7, 1), (8, 2), (10, 2), (12, 2), (13, 3), (100, 20)]
)
@pytest.mark.parametrize("folder", ["", "train/", "mine/train/"])
def test_80_to_20_in_every_class(size: int, in_test: int, folder: str) -> None:
    given = [folder + path for path in [*unsplit(size), *unsplit(50, ("owl",))]]
    found = Counter((image.split, image.class_name) for image in resolved(given).images)
    assert found["test", "cat"] == found["test", "dog"] == in_test
    assert found["train", "cat"] == found["train", "dog"] == size - in_test
    assert (found["train", "owl"], found["test", "owl"]) == (40, 10)


def test_train_alone_is_split_as_class_folders_are() -> None:
    given = unsplit(20)
    assert resolved([f"train/{path}" for path in given]).images == resolved(given).images


@settings(deadline=None)
@given(st.permutations(unsplit(7) + unsplit(9, ("owl",))))
def test_order_of_arrival_changes_nothing(shuffled: list[str]) -> None:
    given = unsplit(7) + unsplit(9, ("owl",))
    assert as_given(resolved(shuffled), shuffled) == as_given(resolved(given), given)


def test_the_split_is_not_by_name() -> None:
    tested = {image.name for image in resolved(unsplit(100)).images if image.split == "test"}
    numbers = sorted(int(name.removesuffix(".png")) for name in tested)
    assert numbers[0] < 25
    assert numbers[-1] > 75


def test_a_split_is_the_same_everywhere_and_for_ever() -> None:
    # By SHA-256 alone. A change here would move images between train and test of every dataset.
    def rank(*path: str) -> int:
        return int.from_bytes(hashlib.sha256("/".join(("0", *path)).encode()).digest()[:8], "big") >> 1

    names = [f"{index}.png" for index in range(10)]
    expected = [
        (class_name, name)
        for class_name in ("cat", "dog")
        for name in sorted(names, key=lambda name: rank("split", class_name, name))[:2]
    ]
    expected.sort(key=lambda image: rank("shuffle", "test", *image))
    tested = [(image.class_name, image.name) for image in resolved(unsplit(10)).images if image.split == "test"]
    assert tested == expected == [("dog", "9.png"), ("cat", "9.png"), ("cat", "1.png"), ("dog", "6.png")]


@pytest.mark.parametrize("make", [lambda: paths(500, 100), lambda: unsplit(600)])
def test_classes_are_mixed_within_each_split(make: Callable[[], list[str]]) -> None:
    layout = resolved(make())
    for split in ("train", "test"):
        names = [image.class_name for image in layout.images if image.split == split]
        changes = sum(one != other for one, other in itertools.pairwise(names))
        # Half of all neighbours differ in a fair shuffle of two equal classes; 5 standard deviations around it.
        assert abs(changes - len(names) / 2) < 2.5 * len(names) ** 0.5
        first_half = names[: len(names) // 2].count("cat")
        assert abs(first_half - len(names) / 4) < 2.5 * len(names) ** 0.5


def test_file_order_within_a_class_is_mixed_too() -> None:
    given = paths(1000, 1)
    numbers = [image.index for image in resolved(given).images if image.split == "train"]
    rising = sum(one < other for one, other in itertools.pairwise(numbers))
    assert abs(rising - len(numbers) / 2) < 2.5 * len(numbers) ** 0.5


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "holds no images"),
        (["1.png", "2.png"], "'1.png' and 1 other image lie in no class folder"),
        (["train/1.png", "test/1.png"], "'train/1.png' lies directly in 'train', which was taken for the train part"),
        (["cat/1.png", "dog/1.png", "2.png"], "'2.png' lies in no class folder"),
        (
            ["cat/1.png", "dog/sub/1.png"],
            "'dog/sub/1.png' lies deeper than a class folder: its class may be 'dog' or 'sub'",
        ),
        ([*paths(2, 2), "cat/1.png"], "'cat/1.png' lies outside"),
        (
            [*paths(2, 2), "train/cat/sub/1.png"],
            "'train/cat/sub/1.png' lies deeper than a class folder: its class may be 'cat' or 'sub'",
        ),
        (paths(0, 3), "a test part and nothing to train from"),
        ([*paths(2, 2), "test/owl/1.png"], "'test/owl' has no counterpart in train"),
        (paths(2, 2, ("cat",)), "one class only, 'cat'"),
        (unsplit(4, ("cat",)), "one class only, 'cat'"),
        (unsplit(4, ("cat", "noise")), "'noise' is reserved"),
        (paths(2, 2, ("cat", "Noise")), "'Noise' is reserved"),
        ([*unsplit(4), "owl/1.png"], "'owl' has a single image"),
        ([*paths(4, 0), "train/owl/1.png"], "'owl' has a single image"),
        (unsplit(4, ("cat", " dog")), "' dog' is no class name"),
        (unsplit(4, ("cat", "do\tg")), "is no class name"),
        (unsplit(4, ("cat", "d" * 101)), "is no class name"),
    ],
)
def test_folders_that_make_no_dataset(given: list[str], words: str) -> None:
    with pytest.raises(InvalidArchive, match=words) as caught:
        resolved(given)
    assert caught.value.field == "archive"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("cat", "dog", "cat|dog", "guinea pig"), "'cat|dog' joins names of other classes, and was kept apart"),
        (("-1", "0", "1"), "'-1' was kept as a class, and may say that an image has none"),
    ],
)
def test_names_that_may_be_no_class_are_told(classes: tuple[str, ...], said: str) -> None:
    assert resolved(unsplit(2, classes)).notes == (said,)
