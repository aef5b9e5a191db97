"""The images of Parquet files. Loads Arrow: found by name, from `noisegate.data.formats.parquet`."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from noisegate.data.formats.parquet_columns import columns_of, is_list_type, listed
from noisegate.data.formats.parquet_file import Row, opened, rows
from noisegate.data.formats.parquet_parts import Table, check_parts, part_of_row, with_parts
from noisegate.data.formats.parts import Held, check_one_data_set, part_of, row_name
from noisegate.data.layouts.text import as_label
from noisegate.data.members import ArchiveLimits, Collected, Label, LeftOut, Member, Meter, NamedSplit, Told, refuse

_SUFFIXES = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"RIFF", ".webp"))
_SHARD = re.compile(r"-\d+-of-(\d{1,9})(?=\.)")
_UNLABELLED = -1
_BYTES = (
    "Write each image as the bytes of its file, PNG for one, in a column of binary values beside the one called label: "
    "ds.cast_column('image', Image()) in datasets does so. Or send arrays as .npz with images and labels."
)
_EMBED = (
    "Embed them before it is written: ds.with_format('arrow').map(embed_table_storage, batched=True).with_format(None)"
    ".to_parquet(…), with embed_table_storage from datasets.table. What push_to_hub writes has them."
)


def read(
    files: Sequence[Collected],
    attachments: Mapping[str, bytes],  # noqa: ARG001
    limits: ArchiveLimits,
    folder: Path,  # noqa: ARG001
) -> Iterator[Member | LeftOut | Told]:
    """The rows of all files, those of each split counted on from file to file, as `datasets` counts them.

    Raises:
        InvalidArchive: damaged files, several data sets, or columns or labels that cannot be told for certain.
        TooLarge: over one of the limits.
    """
    tables: list[Table] = []
    for file in files:
        with opened(file, limits) as table:
            schema = table.schema_arrow
            columns = columns_of(file.name, schema)
        if columns is None:
            yield _without_images(file.name, schema)
        else:
            columns, told = with_parts(file, schema, columns, limits)
            yield from told
            part = part_of(file.name)
            # Files of one split in one folder are its shards, whatever they are called.
            tables.append(Table(file, Held(part.split, part.folders), columns))
    check_one_data_set((table.held, table.file.name) for table in tables)
    _check_alike(tables)
    yield from check_parts(tables)
    if any(table.columns.has_coarse for table in tables):
        yield Told("the fine labels are the classes; the coarse labels were not used")
    yield from _missing_shards([table.file.name for table in tables])
    meter = Meter(limits, sum(table.file.path.stat().st_size for table in tables))
    reached: Counter[NamedSplit | None] = Counter()
    is_one_part = len({table.held.split for table in tables}) == 1
    named = {name for table in tables for name in table.columns.class_names or ()}
    used: set[str] = set()
    for one in tables:
        for number, row in enumerate(rows(one.file, one.columns, limits)):
            split = part_of_row(one, number, row, is_one_part)
            label = _label(one, split, number, row)
            found = _member(one, row_name(split, reached[split], _suffix(row.content)), number, row, label, meter)
            reached[split] += 1
            if label:
                (used if isinstance(found, Member) else named).add(label.class_name)
            yield found
    if without := sorted(named - used):
        yield Told(f"no image is here of {listed(without)}, which the files name as classes")


def _without_images(name: str, schema: "pa.Schema") -> LeftOut:
    """What to say of a file whose columns hold no image files; most hold pixels as lists of numbers."""
    lists = [column for column in schema.names if is_list_type(schema.field(column).type)]
    holds = "holds lists" if len(lists) == 1 else "hold lists"
    why = f": {listed(lists)} {holds}, and pixels are not read from lists" if lists else ""
    what = f"is Parquet and has no column of images; it has {listed(schema.names)}{why}"
    return LeftOut(name, what, _BYTES)


def _label(table: Table, split: NamedSplit | None, number: int, row: Row) -> Label | None:
    """What a row says of its image; `number` counts those of its file."""
    if (
        row.label is None
        or (isinstance(row.label, str) and not as_label(row.label))
        or (table.columns.class_names is not None and row.label == _UNLABELLED)
    ):
        return None
    return Label(_class_name(table, row.label, number), split)


def _member(table: Table, name: str, number: int, row: Row, label: Label | None, meter: Meter) -> Member | LeftOut:
    """The image of a row."""
    meter.count_entry()
    if label is None:
        return LeftOut(name, "has no label")
    if row.content is None and row.path is not None:
        what = f"holds no images, only where they lay on the computer that wrote it: {row.path!r} in row {number}"
        raise refuse(table.file.name, what, _EMBED)
    if row.content is None:
        return LeftOut(name, "has no image")
    meter.unpack(len(row.content))
    meter.check_member(name, len(row.content))
    return Member(name, row.content, label)


def _class_name(table: Table, label: int | str, number: int) -> str:
    names = table.columns.class_names
    if isinstance(label, str):
        return as_label(label) or ""
    if names is None and label < 0:
        what = f"has the label {label} in row {number}: whether that is a class or says that there is none is not known"
        raise refuse(
            table.file.name, what, "Leave such rows out, or name the classes: ds.cast_column('label', ClassLabel(…))."
        )
    if names is None:
        return str(label)
    if not 0 <= label < len(names):
        what = f"has the label {label} in row {number} and names {len(names)} classes"
        raise refuse(table.file.name, what, "Write it anew with labels that it names.")
    return names[label]


def _check_alike(tables: Sequence[Table]) -> None:
    """Whether all name their classes, or none does: numbers and names would be classes beside each other."""
    bare = [table for table in tables if not table.columns.is_text and table.columns.class_names is None]
    named = [table for table in tables if table not in bare]
    if bare and named:
        what = f"has numbers for labels, and {named[0].file.name!r} has names: which belong together is not said"
        raise refuse(bare[0].file.name, what, "Write all files with the same kind of labels.")


def _missing_shards(names: Sequence[str]) -> Iterator[Told]:
    """`train-00001-of-00005.parquet` says that there are five of its kind."""
    there = Counter(_SHARD.sub(r"-…-of-\1", name) for name in names if _SHARD.search(name))
    for pattern, count in there.items():
        expected = int(pattern.rpartition("-of-")[2].partition(".")[0])
        if count < expected:
            yield Told(f"of the {expected:,} files {pattern}, {count:,} came")


def _suffix(content: bytes | None) -> str:
    return next((suffix for magic, suffix in _SUFFIXES if content and content.startswith(magic)), "")
