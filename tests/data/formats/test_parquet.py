import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from noisegate.data.formats import read_collected
from noisegate.data.members import ArchiveLimits, Collected
from tests.data.archive_factory import picture
from tests.data.formats.collected import Content, read, refused
from tests.data.formats.hugging_face import IMAGE, embedded, write_split

NAMES = ["cat", "dog", "Äpfel"]


def shard(images: Sequence[bytes], labels: Sequence[int | None], names: Sequence[str] = NAMES, **more: Any) -> Content:
    columns: dict[str, Any] = {"image": embedded(images), "label": labels}
    return lambda path: write_split(path, columns, {"label": names}, **more)


def table(**columns: Any) -> Content:
    return lambda path: pq.write_table(pa.table(columns), path)


def jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(picture(seed))).save(file, "JPEG")
    return file.getvalue()


def test_shards_of_a_repository_on_the_hub(tmp_path: Path) -> None:
    images = [picture(seed) for seed in range(7)]
    found = read(
        tmp_path,
        {
            "data/test-00000-of-00001.parquet": shard(images[5:], [2, 0]),
            "data/train-00001-of-00002.parquet": shard(images[3:5], [0, 1]),
            "data/train-00000-of-00002.parquet": shard(images[:3], [0, 1, 2]),
        },
    )
    # The rows are counted as `datasets` counts them: ds["train"][4] is train/00004.
    assert found.labels == {
        "test/00000.png": ("test", "Äpfel"),
        "test/00001.png": ("test", "cat"),
        "train/00000.png": ("train", "cat"),
        "train/00001.png": ("train", "dog"),
        "train/00002.png": ("train", "Äpfel"),
        "train/00003.png": ("train", "cat"),
        "train/00004.png": ("train", "dog"),
    }
    assert [found.members[f"train/{row:05d}.png"].content for row in range(5)] == images[:5]
    assert not found.told
    assert not found.left_out


def test_how_a_split_is_sharded_changes_nothing(tmp_path: Path) -> None:
    images, labels = [jpeg(seed) for seed in range(6)], [0, 1, 2, 0, 1, 2]
    whole = read(tmp_path, {"train.parquet": shard(images, labels)})
    parts = read(tmp_path, {f"train/{n:04d}.parquet": shard(images[n : n + 2], labels[n : n + 2]) for n in (0, 2, 4)})
    assert whole.members == parts.members
    assert "train/00000.jpg" in whole.members


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=40), st.sampled_from(["a", "b", "Ä"])), min_size=1, max_size=9),
    st.integers(1, 4),
    st.sampled_from(["snappy", "zstd", "gzip", "brotli", "lz4", "none"]),
    st.sampled_from(["1.0", "2.0"]),
    st.sampled_from([pa.binary(), pa.large_binary(), IMAGE]),
    st.booleans(),
)
def test_bytes_and_labels_come_out_as_they_went_in(
    rows: list[tuple[bytes, str]], group: int, packed: str, version: str, kind: pa.DataType, as_dictionary: bool
) -> None:
    contents = [content for content, _ in rows]
    images = pa.array(embedded(contents) if kind == IMAGE else contents, kind)
    labels = pa.array([label for _, label in rows])
    made = pa.table({"img": images, "labels": labels.dictionary_encode() if as_dictionary else labels})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        pq.write_table(made, path, row_group_size=group, compression=packed, data_page_version=version)
        found = list(read_collected([Collected("a.parquet", path)], {}, ArchiveLimits(), Path(folder)))
    assert [(one.content, one.label.class_name) for one in found] == rows  # type: ignore[union-attr]


def test_labels_that_are_numbers_without_names(tmp_path: Path) -> None:
    found = read(tmp_path, {"a.parquet": table(image=[picture(0), picture(1)], label=[7, 10])})
    assert list(found.labels.values()) == [(None, "7"), (None, "10")]
    refused(tmp_path, {"a.parquet": table(image=[picture(0)], label=[-1])}, "label -1 in row 0")


def test_images_that_were_never_embedded(tmp_path: Path) -> None:
    # What to_parquet of datasets 5.2.0 writes of a data set that was made from image files.
    columns: dict[str, Any] = {"image": [{"bytes": None, "path": "/home/me/cat.png"}], "label": [0]}
    files: dict[str, Content] = {"train.parquet": lambda path: write_split(path, columns, {"label": NAMES})}
    refused(tmp_path, files, "'train.parquet' holds no images, only where they lay .* '/home/me/cat.png' in row 0")
    with pytest.raises(Exception, match="holds no images") as caught:
        read(tmp_path, files)
    assert "embed_table_storage" in str(getattr(caught.value, "remedy", ""))


def test_rows_without_a_label_are_left_out_one_by_one(tmp_path: Path) -> None:
    files = {"train.parquet": shard([picture(0), picture(1), picture(2)], [0, None, -1])}
    found = read(tmp_path, files)
    assert list(found.members) == ["train/00000.png"]
    assert found.left_out == {"train/00001.png": "has no label", "train/00002.png": "has no label"}


def test_rows_without_an_image_are_left_out(tmp_path: Path) -> None:
    images = pa.array([{"bytes": picture(0), "path": None}, None, {"bytes": None, "path": None}], IMAGE)
    found = read(tmp_path, {"a.parquet": table(image=images, label=[0, 1, 2])})
    assert found.left_out == {"00001": "has no image", "00002": "has no image"}


def test_columns_may_be_called_anything_if_there_is_one_of_each(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"photo": embedded([picture(0)]), "species": [1]}
    found = read(tmp_path, {"a.parquet": lambda path: write_split(path, columns, {"species": NAMES}, image="photo")})
    assert list(found.labels.values()) == [(None, "dog")]


def test_fine_labels_of_cifar_100(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"img": embedded([picture(0)]), "fine_label": [1], "coarse_label": [0]}
    names = {"fine_label": NAMES, "coarse_label": ["animals"]}
    found = read(tmp_path, {"a.parquet": lambda path: write_split(path, columns, names, image="img")})
    assert list(found.labels.values()) == [(None, "dog")]
    assert found.told[0] == "the fine labels are the classes; the coarse labels were not used"


PICTURE = [picture(0)]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"image": PICTURE, "mask": PICTURE, "label": [0]},
            "several columns that could be the images: 'image', 'mask'",
        ),
        (
            {"image": PICTURE, "label": [0], "target": ["a"]},
            "several columns that could be the labels: 'label', 'target'",
        ),
        ({"image": PICTURE, "text": ["a"]}, "no column that is called label; it has 'image', 'text'"),
        ({"image": PICTURE, "label": [0.0]}, "type double"),
        ({"image": PICTURE, "labels": [[0, 1]]}, "type list"),
        ({"image": PICTURE, "label": [True]}, "type bool"),
        ({"image": PICTURE, "coarse_label": [0], "fine_label": [0], "label": [0]}, "several columns"),
    ],
)
def test_columns_are_never_guessed(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    refused(tmp_path, {"a.parquet": table(**columns)}, words)


def test_two_class_labels_are_not_guessed_between(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"image": embedded(PICTURE), "artist": [0], "style": [1]}
    names = {"artist": NAMES, "style": NAMES}
    refused(tmp_path, {"a.parquet": lambda path: write_split(path, columns, names)}, "'artist', 'style'")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("not json", "metadata"),
        ("[" * 100_000, "metadata"),
        ('{"info": {"features": []}}', "metadata"),
        ('{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "a"]}}}}', "metadata"),
        ('{"info": {"features": {"label": {"_type": "ClassLabel"}}}}', "metadata"),
        (
            '{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a"]}}}}',
            "label 1 in row 0 and names 1 classes",
        ),
        ('{"info": {"features": {"label": {"_type": "Image"}}}}', "has its images 'label' as int64"),
    ],
)
def test_metadata_that_cannot_be_meant(tmp_path: Path, metadata: str, words: str) -> None:
    made = pa.table({"image": PICTURE, "label": [1]}).replace_schema_metadata({"huggingface": metadata})
    refused(tmp_path, {"a.parquet": lambda path: pq.write_table(made, path)}, words)


def test_files_without_images_are_left_out(tmp_path: Path) -> None:
    files = {"train.parquet": shard(PICTURE, [0]), "metadata.parquet": table(file_name=["a.png"], label=[0])}
    assert read(tmp_path, files).left_out == {
        "metadata.parquet": "is Parquet and has no column of images; it has 'file_name', 'label'"
    }


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["cropped/train.parquet", "full/train.parquet"], "two data sets"),
        (["train.parquet", "extra.parquet"], "does not say which part"),
        (["train-test.parquet"], "names two parts"),
    ],
)
def test_names_that_leave_open_what_the_parts_are(tmp_path: Path, names: list[str], words: str) -> None:
    refused(tmp_path, {name: shard(PICTURE, [0]) for name in names}, words)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, {"data/train-00000-of-00003.parquet": shard(PICTURE, [0])})
    assert found.told[0] == "of the 3 files data/train-…-of-00003.parquet, 1 came"


def test_numbers_and_names_are_not_mixed(tmp_path: Path) -> None:
    files = {"train.parquet": shard(PICTURE, [0]), "val.parquet": table(image=PICTURE, label=[0])}
    refused(tmp_path, files, "which belong together")


def test_shards_may_number_the_same_names_differently(tmp_path: Path) -> None:
    files = {"train-0.parquet": shard(PICTURE, [0]), "train-1.parquet": shard(PICTURE, [0], NAMES[::-1])}
    assert [name for _, name in read(tmp_path, files).labels.values()] == ["cat", "Äpfel"]


def test_arrays_beside_it_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, {"train.parquet": shard(PICTURE, [0]), "x.npy": np.zeros(3)}, "the same images twice")
