"""Files that are no images: classes that would be lost by them, and archives of nothing else."""

import pytest

from noisegate.data.members import LeftOut

from .reading import classes, of_classes, read, refused

TWO = of_classes(5)


def files(folder: str, count: int, suffix: str) -> list[str]:
    return [f"{folder}/{index}{suffix}" for index in range(count)]


@pytest.mark.parametrize(
    ("images", "left_out", "words"),
    [
        (
            TWO,
            files("frog", 5, ".gif"),
            r"place of a class: frog: 5 files, all \.gif, were passed over \('frog/0\.gif' is",
        ),
        (TWO, files("frog", 1, ".HEIC"), r"frog: 1 file, \.heic, was passed over"),
        (TWO, [*files("frog", 2, ".gif"), "frog/a.bmp"], r"frog: 3 files, 1 \.bmp; 2 \.gif, were passed over"),
        (TWO, [*files("frog", 2, ".gif"), "frog/README.md"], "frog: 3 files"),
        (TWO, files("frog", 2, ".dat"), r"frog: 2 files, all \.dat"),
        (TWO, files("frog/images", 2, ".gif"), "frog: 2 files"),
        (TWO, [*files("frog", 2, ".gif"), *files("bee", 3, ".tif")], r"these folders.*bee: 3 files.*; frog: 2 files"),
        ([f"pets/{path}" for path in TWO], files("pets/frog", 2, ".gif"), "frog: 2 files"),
        ([f"pets/{path}" for path in TWO], files("more/frog", 2, ".gif"), "more/frog: 2 files"),
        ([f"train/{path}" for path in TWO], files("train/frog", 2, ".gif"), "train/frog: 2 files"),
        ([f"train/{path}" for path in TWO], files("test/frog", 2, ".gif"), "test/frog: 2 files"),
        (
            [f"{part}/{path}" for part in ("train", "test") for path in TWO] + ["train/frog/1.png"],
            files("test/frog", 2, ".gif"),
            "test/frog: 2 files",
        ),
        (of_classes(5, ("bus", "car")), files("train", 3, ".bmp"), "train: 3 files"),
        (TWO, [LeftOut("frog/1.png", "cannot be read: it is empty")], "'frog/1.png' cannot be read: it is empty"),
    ],
)
def test_a_class_without_a_readable_image_fails(images: list[str], left_out: list[str | LeftOut], words: str) -> None:
    error = refused(words, images, left_out=left_out)
    assert "these are read: PNG" in error.detail


@pytest.mark.parametrize(
    ("left_out", "notes"),
    [
        (["README.md", "LICENSE", "preview.gif"], ()),
        (["docs/guide.md", "docs/LICENSE"], ("'docs' held no images, only text, and became no class",)),
        (["cat/old.gif", "cat/sub/9.bmp"], ()),
        (["elsewhere/deep/model.bin"], ()),
    ],
)
def test_other_files_are_listed_and_do_no_harm(left_out: list[str], notes: tuple[str, ...]) -> None:
    images = [f"pets/{path}" for path in TWO]
    layout = read(images, left_out=[name if name.startswith("elsewhere") else f"pets/{name}" for name in left_out])
    assert layout.classes == ("cat", "dog")
    assert len(layout.left_out) == len(left_out)
    assert layout.notes == notes


def test_texts_that_say_nothing_are_listed_as_left_out() -> None:
    layout = read(TWO, {"classes.yaml": "cat", "docs/notes.txt": "made in May"})
    assert [file.name for file in layout.left_out] == ["classes.yaml", "docs/notes.txt"]
    assert all(file.why == "is text that was not used" for file in layout.left_out)
    assert classes(layout, TWO) == {path: path.split("/")[0] for path in TWO}


@pytest.mark.parametrize(
    ("left_out", "texts", "words"),
    [
        ([], {}, "^the archive holds no images$"),
        (["README.md"], {}, "^the archive holds no images$"),
        (
            [*files("cat", 5, ".bmp"), *files("dog", 5, ".bmp"), "LICENSE"],
            {},
            r"10 files, all \.bmp, were passed over \('cat/0\.bmp' is not an image\); these are read: PNG, JPEG, WEBP, ",
        ),
        (["a.xyz", "b.xyz"], {}, r"2 files, all \.xyz"),
        ([], {"labels.csv": "file,label\n1.png,cat\n"}, "no images, but 'labels.csv': labels alone make no data set"),
        (
            [],
            {"export.json": '[{"image": "/data/upload/1/ab12cd34-1.jpg", "choice": "Cat", "id": 1}]'},
            "no images, but 'export.json'",
        ),
    ],
)
def test_an_archive_without_images(left_out: list[str], texts: dict[str, str], words: str) -> None:
    refused(words, [], texts, left_out)
