"""The same JPEGs as a zip and as Parquet, and as many small files in as many classes as an archive may hold."""

import itertools
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS = 1_000
_IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def as_zip(source: Path, target: Path) -> Path:
    """Every file of a tar, deflated."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _files(source):
            archive.writestr(name, content)
    return target


def as_parquet(source: Path, folder: Path) -> Path:
    """`train/<class>/<image>` and `test/…` as the two Parquet files that Hugging Face's `datasets` makes of them, in a zip."""
    of_split: dict[str, list[tuple[str, bytes]]] = {"train": [], "test": []}
    for name, content in _files(source):
        of_split[name.split("/")[-3]].append((name, content))
    classes = sorted({name.split("/")[-2] for name, _ in of_split["train"]})
    target = folder / "parquet.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for split, files in of_split.items():
            path = folder / f"{split}-00000-of-00001.parquet"
            _write_split(path, files, classes)
            archive.write(path, path.name)
            path.unlink()
    return target


def many_classes(source: Path, target: Path, classes: int, per_class: int) -> Path:
    """A zip of `<class>/<image>`, the tar's files over and over."""
    contents = itertools.cycle([content for _, content in _files(source)])
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number, label in itertools.product(range(per_class), range(classes)):
            archive.writestr(f"class {label:04d}/{number:04d}.jpg", next(contents))
    return target


def _write_split(path: Path, files: list[tuple[str, bytes]], classes: list[str]) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": classes, "_type": "ClassLabel"}}
    fields = [pa.field("image", _IMAGE), pa.field("label", pa.int64())]
    schema = pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
    images = [{"bytes": content, "path": name.rpartition("/")[2]} for name, content in files]
    labels = [classes.index(name.split("/")[-2]) for name, _ in files]
    pq.write_table(pa.table({"image": images, "label": labels}, schema=schema), path, row_group_size=_ROWS)


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(source) as tar:
        for member in tar:
            if member.isfile():
                content = tar.extractfile(member)
                assert content is not None, "a file has content"
                yield member.name, content.read()
