"""Versions: a base and what is added to it are what one upload of all images is, and no image is in it twice."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.api.reading import Reading
from noisegate.data.bases import Base
from noisegate.data.members import Attachment, Member
from noisegate.data.originals import INDEX_FILE, Originals
from noisegate.data.packing import PackedDataset, pack
from noisegate.errors import InvalidArchive
from noisegate.inference.decoding import ImageLimits

from .archive_factory import dataset, picture

LIMITS = ImageLimits()
Files = Mapping[str, bytes]


class Version:
    """A packed data set with all that its originals lie in: its own file first."""

    def __init__(self, packed: PackedDataset, shared: tuple[Path, ...] = (), name: str = "pets") -> None:
        self.packed = packed
        self.contents = (packed.originals_path, *shared)
        self.originals = Originals(packed.originals_path, packed.index_path, shared)
        images = np.load(packed.images_path, mmap_mode="r", allow_pickle=False)
        labels = np.load(packed.labels_path, mmap_mode="r", allow_pickle=False)
        self.base = Base(name, packed.classes, packed.train_count, images, labels, self.originals)

    def names(self, class_name: str) -> list[str]:
        """The paths of the images of a class."""
        places = range(len(self.base))
        return sorted(self.originals.name(place) for place in places if self.base.class_of(place) == class_name)


def packed(files: Files, folder: Path, base: Version | None = None, reading: Reading | None = None) -> Version:
    folder.mkdir(parents=True)
    members = (Attachment(name, data) if name.endswith(".csv") else Member(name, data) for name, data in files.items())
    found = pack(members, 8, folder, lambda _: None, LIMITS, reading or Reading(), base.base if base else None)
    return Version(found, base.contents if base else ())


def same_bytes(one: Version, other: Version) -> None:
    """The pixels, labels and the order of all originals with their names are the same."""
    assert one.packed.content_hash == other.packed.content_hash
    assert one.packed.classes == other.packed.classes
    assert one.packed.counts == other.packed.counts
    assert one.packed.longer_side == other.packed.longer_side
    for name in ("images_path", "labels_path"):
        assert getattr(one.packed, name).read_bytes() == getattr(other.packed, name).read_bytes()
    assert len(one.originals) == len(other.originals)
    for place in range(len(one.originals)):
        assert one.originals.name(place) == other.originals.name(place)
        assert one.originals.read(place) == other.originals.read(place)


POOL = [
    (f"{split}/{name}/{number}.png", picture(1000 * one + 10 * two + number, 5 + number))
    for one, split in enumerate(("train", "test"))
    for two, name in enumerate(("cat", "dog", "frog"))
    for number in range(3)
]


@settings(max_examples=30, deadline=None)
@given(later=st.lists(st.integers(0, 2), min_size=len(POOL), max_size=len(POOL)))
def test_a_base_and_uploads_to_it_are_all_images_at_once(
    tmp_path_factory: pytest.TempPathFactory, later: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("property")
    files = dict(POOL)
    # Two classes that have an image in each part are in the base; so every upload is complete with what is there.
    anchored = {f"{split}/{name}/a.png": picture(hash_of, 9) for hash_of, (split, name) in enumerate(_corners())}
    steps: list[dict[str, bytes]] = [dict(anchored), {}, {}]
    for (path, data), step in zip(POOL, later, strict=True):
        # Of a class that is new, training images come first.
        steps[max(step, later[_first_of(path)])][path] = data
    version = packed(steps[0], folder / "0")
    for number, added in enumerate(steps[1:], 1):
        if added:
            version = packed(added, folder / str(number), version)
            assert version.packed.originals_bytes == sum(map(len, added.values())), "the base's files are shared"
    same_bytes(version, packed(anchored | files, folder / "all"))


def _corners() -> list[tuple[str, str]]:
    return list(itertools.product(("train", "test"), ("cat", "dog")))


def _first_of(path: str) -> int:
    """Where in the pool the first training image of its class stands."""
    _, name, _ = path.split("/")
    return next(place for place, (other, _) in enumerate(POOL) if other.startswith(f"train/{name}/"))


@pytest.fixture
def base(tmp_path: Path) -> Version:
    return packed(dataset(train=4, test=2), tmp_path / "base")


def test_images_of_no_part_become_training_images_and_what_is_tested_on_stays(base: Version, tmp_path: Path) -> None:
    new = {f"{name}/new{n}.png": picture(500 + 10 * k + n) for k, name in enumerate(("cat", "frog")) for n in range(5)}
    version = packed(new, tmp_path / "v", base)
    assert version.packed.counts == {
        "train": {"cat": 9, "dog": 4, "frog": 5},
        "test": {"cat": 2, "dog": 2, "frog": 0},
    }
    report = version.packed.report
    assert "images of no part became training images: none are drawn from what is added to a base" in report.notes
    assert "'frog' is a new class: 'pets' has none called so" in report.notes
    assert report.added is not None
    assert (report.added.base, report.added.train_count, report.added.test_count) == ("pets", 10, 0)
    assert [(one.name, one.train, one.is_new) for one in report.added.classes] == [("cat", 5, False), ("frog", 5, True)]
    assert report.images.formats == {"PNG": 10}, "of the upload"
    assert report.train_count == 18


def test_one_image_of_one_class_is_enough(base: Version, tmp_path: Path) -> None:
    version = packed({"cat/one.png": picture(999)}, tmp_path / "v", base)
    assert version.packed.counts["train"] == {"cat": 5, "dog": 4}
    with pytest.raises(InvalidArchive, match="one class only"):
        packed({"cat/one.png": picture(999), "cat/two.png": picture(998)}, tmp_path / "alone")


def test_files_that_are_in_the_base_are_left_out_whatever_they_are_called(base: Version, tmp_path: Path) -> None:
    files = dataset(train=4, test=2)
    again = {"cat/other name.png": files["train/cat/0.png"], "dog/t.png": files["test/dog/1.png"]}
    version = packed(again | {"dog/new.png": picture(777)}, tmp_path / "v", base)
    assert version.packed.counts["train"] == {"cat": 4, "dog": 5}
    report = version.packed.report
    assert [(one.why, one.names) for one in report.left_out] == [
        ("is in the base already", ["cat/other name.png", "dog/t.png"])
    ]
    assert report.added is not None
    assert (report.added.train_count, report.added.known_count, version.packed.skipped) == (1, 2, 2)
    twice = packed({"dog/again.png": picture(777), "dog/newer.png": picture(778)}, tmp_path / "w", version)
    assert twice.packed.counts["train"] == {"cat": 4, "dog": 6}, "a version's own files are known to the next one"


def test_nothing_new_is_the_base_itself(base: Version, tmp_path: Path) -> None:
    same_bytes(packed(dataset(train=4, test=2), tmp_path / "v", base), base)


def test_a_file_under_another_class_is_a_contradiction_and_all_are_named(base: Version, tmp_path: Path) -> None:
    files = dataset(train=4, test=2)
    wrong = {"dog/a.png": files["train/cat/0.png"], "frog/b.png": files["test/dog/1.png"], "dog/c.png": picture(9999)}
    with pytest.raises(InvalidArchive) as caught:
        packed(wrong, tmp_path / "v", base)
    assert "2 images are in the base 'pets' under another class" in caught.value.detail
    assert "'dog/a.png' of class 'dog' is 'train/cat/0.png' of class 'cat' there" in caught.value.detail
    assert "'frog/b.png' of class 'frog' is 'test/dog/1.png' of class 'dog' there" in caught.value.detail
    assert caught.value.remedy
    assert [path.name for path in (tmp_path / "v").iterdir()] == []


def test_of_very_many_contradictions_the_first_hundred_are_named(tmp_path: Path) -> None:
    files = {f"{split}/cat/{n}.png": picture(n) for n in range(105) for split in ["train"]}
    big = packed(files | {"train/dog/a.png": picture(900), "test/cat/t.png": picture(901)}, tmp_path / "b")
    with pytest.raises(InvalidArchive) as caught:
        packed({f"dog/{n:03}.png": picture(n) for n in range(105)}, tmp_path / "v", big)
    assert caught.value.detail.count(" there") == 100
    assert caught.value.detail.endswith("; and 5 more")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"test/frog/1.png": picture(901)}, "'test/frog' has no counterpart in train"),
        (
            {"cat/indoor/1.png": picture(901)},
            "was taken for 'indoor', and lies below 'cat', a class of the base 'pets'",
        ),
        ({"cat/1.png": picture(901), "labels.csv": b"file,label\ncat/1.png,dog\n"}, "lies below 'cat', a class of"),
        ({"noise/1.png": picture(901)}, "is reserved"),
        ({"_unlabeled/1.png": picture(901)}, "no image with a class, to be added to the base 'pets'"),
        ({"val/cat/1.png": picture(901)}, "no image with a class, to be added to the base 'pets'"),
    ],
)
def test_what_an_upload_to_a_base_is_refused_for(base: Version, tmp_path: Path, files: Files, says: str) -> None:
    has_validation = any(name.startswith("val/") for name in files)
    with pytest.raises(InvalidArchive, match=says):
        packed(files, tmp_path / "v", base, Reading(validation="leave_out" if has_validation else "auto"))


@pytest.mark.parametrize(("validation", "cats"), [("auto", (5, 2)), ("test", (4, 3)), ("leave_out", (4, 2))])
def test_validation_images_go_where_they_would_beside_test_images(
    base: Version, tmp_path: Path, validation: str, cats: tuple[int, int]
) -> None:
    files = {"val/cat/0.png": picture(901), "train/dog/x.png": picture(902)}
    version = packed(files, tmp_path / "v", base, Reading.model_validate({"validation": validation}))
    counts = version.packed.counts
    assert (counts["train"]["cat"], counts["test"]["cat"], counts["train"]["dog"]) == (*cats, 5)
    together = packed(
        dataset(train=4, test=2) | files, tmp_path / "all", None, Reading.model_validate({"validation": validation})
    )
    assert version.packed.content_hash == together.packed.content_hash


def test_names_that_are_alike_are_told_across_base_and_upload(base: Version, tmp_path: Path) -> None:
    version = packed({"Cat/1.png": picture(901)}, tmp_path / "v", base)
    assert version.packed.classes == ("Cat", "cat", "dog")
    assert any("'Cat' and 'cat' differ only in capitals" in note for note in version.packed.report.notes)


def test_an_index_from_before_there_were_versions_is_read_and_built_upon(base: Version, tmp_path: Path) -> None:
    index = base.packed.index_path
    arrays = safetensors.numpy.load_file(index)
    old = {name: arrays[name] for name in ("offsets", "name_offsets", "names")}
    (tmp_path / INDEX_FILE).write_bytes(safetensors.numpy.save(old))
    files = dataset(train=4, test=2)
    originals = Originals(base.packed.originals_path, tmp_path / INDEX_FILE)
    assert {originals.name(place): originals.read(place) for place in range(len(originals))} == files
    base.base = Base("pets", base.base.classes, base.base.train_count, base.base.images, base.base.labels, originals)
    new = {"train/dog/new.png": picture(901, 30)}
    version = packed(new, tmp_path / "v", base)
    same_bytes(version, packed(files | new, tmp_path / "all"))


def test_files_in_another_order_than_the_index_are_refused(base: Version, tmp_path: Path) -> None:
    version = packed({"dog/new.png": picture(901)}, tmp_path / "v", base)
    own, shared = version.contents
    with pytest.raises(ValueError, match="belongs to other originals"):
        Originals(shared, version.packed.index_path, [own])
    with pytest.raises(ValueError, match="belongs to other originals"):
        Originals(own, version.packed.index_path)


def test_two_images_of_one_name_are_two_images(base: Version, tmp_path: Path) -> None:
    version = packed({"train/cat/0.png": picture(901)}, tmp_path / "v", base)
    assert version.names("cat").count("train/cat/0.png") == 2
    assert version.packed.report.left_out == []
