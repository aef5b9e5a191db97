"""One Parquet file, opened and read with bounded memory, whatever it claims of itself."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from noisegate.data.formats.fixed_rows import cut_short
from noisegate.data.formats.parquet_columns import Columns
from noisegate.data.formats.parquet_pages import check_pages, chunks
from noisegate.data.formats.thrift import BadThrift
from noisegate.data.members import ArchiveLimits, Collected, over_limit, refuse
from noisegate.errors import InvalidArchive

# Arrow's objects for a footer take hundreds of bytes for three of it. One of 2,000 row groups and ten columns has 4 MiB.
_MOST_FOOTER_BYTES = 8 * 2**20
# What is unpacked at once. Arrow puts 1,024 values into a page before it looks at their size, 100 MiB of photographs.
_MOST_PAGE_BYTES = 256 * 2**20
_BATCH_BYTES = 64 * 2**20
_BATCH_ROWS = 256
_BUFFER_BYTES = 2**20
_ENDING = struct.Struct("<I4s")
_NOT_IMPLEMENTED = "Not yet implemented"
_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the image's file, the path that its writer had for it, the label and what the column of parts says.

    Each is None where the row has none.
    """

    content: bytes | None
    path: str | None
    label: int | str | None
    part: str | None = None


@contextmanager
def opened(file: Collected, limits: ArchiveLimits) -> Iterator["pq.ParquetFile"]:
    """The file, its footer read and nothing else. Arrow's errors within come out as InvalidArchive.

    Raises:
        InvalidArchive: damaged, cut short or encrypted.
        TooLarge: a footer or a number of rows over the limits.
    """
    _footer(file)
    with _failures_told(file), pa.OSFile(str(file.path)) as source:
        table = pq.ParquetFile(
            source,
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
            thrift_string_size_limit=_MOST_FOOTER_BYTES,
        )
        if table.metadata.num_rows > limits.max_files:
            raise over_limit(f"{file.name!r} has more than {limits.max_files:,} rows", "Split the data set.")
        yield table


def texts(file: Collected, column: str, limits: ArchiveLimits) -> Iterator[str | None]:
    """The values of a column of texts in their order.

    Raises:
        InvalidArchive: damaged.
        TooLarge: a page of more than 256 MiB.
    """
    with opened(file, limits) as table:
        _largest_page(file, [column], limits)
        for batch in table.iter_batches(_BATCH_ROWS, columns=[column], use_threads=False):
            yield from batch.column(column).to_pylist()


def rows(file: Collected, columns: Columns, limits: ArchiveLimits) -> Iterator[Row]:
    """The rows of a file in their order; in memory are one page of each column, and a batch of 64 MiB at most.

    Raises:
        InvalidArchive: damaged.
        TooLarge: a page of more than 256 MiB.
    """
    with opened(file, limits) as table:
        batch_rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, _largest_page(file, columns.leaves, limits))))
        batches = table.iter_batches(batch_rows, columns=columns.leaves, use_threads=False)
        count = 0
        for batch in batches:
            yield from _rows_of(batch, columns)
            count += batch.num_rows
        if count != table.metadata.num_rows:
            raise cut_short(file.name)


def _rows_of(batch: "pa.RecordBatch", columns: Columns) -> Iterator[Row]:
    labels = batch.column(columns.label).to_pylist()
    image = batch.column(columns.image)
    contents, paths = image, None
    if columns.in_struct:
        # Not `field`, which does not see where the struct as a whole is null.
        fields = dict(zip((field.name for field in image.type), image.flatten(), strict=True))
        contents, paths = fields["bytes"], fields.get("path")
    said = paths.to_pylist() if paths is not None else [None] * len(labels)
    parts = batch.column(columns.part).to_pylist() if columns.part else [None] * len(labels)
    for content, path, label, part in zip(contents, said, labels, parts, strict=True):
        yield Row(content.as_py(), path, label, part)


def _footer(file: Collected) -> bytes:
    """The file's description of itself.

    Raises:
        InvalidArchive: there is none: the file is cut short, or encrypted.
        TooLarge: it has more than 8 MiB.
    """
    size = file.path.stat().st_size
    with file.path.open("rb") as source:
        source.seek(max(0, size - _ENDING.size))
        ending = source.read()
        if len(ending) < _ENDING.size:
            raise cut_short(file.name)
        footer_bytes, magic = _ENDING.unpack(ending)
        if magic == _ENCRYPTED:
            raise refuse(file.name, "is encrypted", "Write it without encryption.")
        if magic != _MAGIC or footer_bytes > size - _ENDING.size:
            raise cut_short(file.name)
        if footer_bytes > _MOST_FOOTER_BYTES:
            detail = f"{file.name!r} has a footer of more than {_MOST_FOOTER_BYTES:,} bytes"
            raise over_limit(
                detail, "Write it in larger row groups, or with the columns of the images and labels only."
            )
        source.seek(size - _ENDING.size - footer_bytes)
        return source.read(footer_bytes)


def _largest_page(file: Collected, columns: Sequence[str], limits: ArchiveLimits) -> int:
    """The bytes of the largest page that will be unpacked of Parquet's own columns; all have been looked at then."""
    largest = count = 0

    def check(page_bytes: int) -> None:
        nonlocal largest, count
        largest, count = max(largest, page_bytes), count + 1
        if page_bytes > _MOST_PAGE_BYTES:
            detail = f"{file.name!r} has a page of more than {_MOST_PAGE_BYTES:,} bytes, which is unpacked as a whole"
            raise over_limit(detail, "Write it with smaller pages: write_batch_size=16, in to_parquet and in pyarrow.")
        if count > len(columns) * (2 * limits.max_files):
            raise over_limit(f"{file.name!r} has more pages than rows may be read", "Write it anew.")

    leaves = set(columns)
    with file.path.open("rb") as source:
        for chunk in chunks(_footer(file)):
            if chunk.path in leaves:
                check_pages(source, chunk, check)
    return largest


@contextmanager
def _failures_told(file: Collected) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, BadThrift, UnicodeDecodeError) as error:
        raise _unread(file, error) from error
    except OSError as error:
        # Arrow's own, which says so of bytes that make no sense, has no number. Errors of the disk pass.
        if error.errno is not None:
            raise
        raise _unread(file, error) from error


def _unread(file: Collected, error: Exception) -> InvalidArchive:
    if _NOT_IMPLEMENTED in str(error):
        what = f"is written in a way that is not read: {error}"
        return refuse(file.name, what, "Write it anew by pandas or pyarrow, without an encoding of your own.")
    return cut_short(file.name)
