"""Parquet files that nobody should send. In a process of its own: whatever crashes there would crash a worker."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noisegate.errors import InvalidArchive, TooLarge
from tests.conftest import examples
from tests.data.archive_factory import picture
from tests.data.formats.collected import read, refused
from tests.data.formats.hugging_face import embedded, write_split

NAMES = ["cat", "dog"]
MIB = 2**20


def good(path: Path, count: int = 20) -> bytes:
    images = [picture(seed, 4) for seed in range(count)]
    return write_split(
        path, {"image": embedded(images), "label": [seed % 2 for seed in range(count)]}, {"label": NAMES}
    ).read_bytes()


def in_own_process(*arguments: str) -> dict[str, int]:
    """What tests.data.formats.hostile_parquet counted; it must have ended by itself."""
    command = [sys.executable, "-m", "tests.data.formats.hostile_parquet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


@pytest.mark.parametrize("where", ["footer", "anywhere"])
def test_flipped_bytes_end_in_an_error_or_in_images(tmp_path: Path, where: str) -> None:
    good(tmp_path / "good.parquet")
    counted = in_own_process("flip", str(tmp_path), where, str(examples(300)))
    assert set(counted) <= {"20 rows", "left out", "InvalidArchive", "TooLarge", "peak_mib"}
    assert counted["InvalidArchive"] > 10
    assert counted["20 rows"] > 10


def test_a_footer_at_which_arrow_ends_the_process(tmp_path: Path) -> None:
    # One byte makes the column required while its statistics still count nulls: pyarrow 26.0.1 aborts when asked for the
    # column's place, metadata.row_group(0).column(0). The reader asks it no such thing.
    pq.write_table(pa.table({"image": [b"a", b"b"], "label": [0, 1]}), tmp_path / "good.parquet")
    counted = in_own_process("each", str(tmp_path), "2", "0")
    assert counted["InvalidArchive"] > 0
    assert set(counted) <= {"2 rows", "left out", "InvalidArchive", "TooLarge", "peak_mib"}


def test_a_footer_that_says_another_number_of_rows(tmp_path: Path) -> None:
    # Thrift writes 2 as 4. Three rows where there are two, and one, in each of the places where a 2 stands.
    for said in (6, 2):
        pq.write_table(pa.table({"image": [b"a", b"b"], "label": [0, 1]}), tmp_path / "good.parquet")
        counted = in_own_process("each", str(tmp_path), "4", str(said))
        assert set(counted) <= {"2 rows", "left out", "InvalidArchive", "peak_mib"}


def test_a_page_that_says_to_unpack_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    # A few kilobytes can: 257 MiB of zeros are 8.8 kB in zstd. The header of the first page begins with its type and its size.
    made = pa.table({"image": [b"a" * 40], "label": [0]})
    pq.write_table(made, tmp_path / "good.parquet", compression="none", use_dictionary=False)
    start = pq.ParquetFile(tmp_path / "good.parquet").metadata.row_group(0).column(0).data_page_offset
    file = (tmp_path / "good.parquet").read_bytes()
    assert file[start : start + 3] == b"\x15\x00\x15"
    for mib, words in ((256, "cut short"), (257, "page of more than 268,435,456 bytes")):
        size = b"\x15\x00\x15" + _varint(2 * mib * MIB)
        patched = file[:start] + size + file[start + 4 :]
        refused(tmp_path, {"a.parquet": patched}, words, TooLarge if mib > 256 else InvalidArchive)


def _varint(number: int) -> bytes:
    high = b""
    while number > 0x7F:
        high += bytes([number & 0x7F | 0x80])
        number >>= 7
    return high + bytes([number])


def test_a_value_that_many_rows_repeat_is_counted_each_time(tmp_path: Path) -> None:
    image = np.random.default_rng(0).bytes(MIB)
    dictionary = pa.DictionaryArray.from_arrays(pa.array(np.zeros(300, np.int32)), pa.array([image]))
    made = pa.table({"image": dictionary, "label": np.zeros(300, np.int64)})
    pq.write_table(made, tmp_path / "good.parquet", store_schema=False, dictionary_pagesize_limit=2 * MIB)
    assert (tmp_path / "good.parquet").stat().st_size < 1.1 * MIB
    counted = in_own_process("read", str(tmp_path))
    assert counted["TooLarge"] == 1
    assert counted["peak_mib"] < 300


def test_limits(tmp_path: Path) -> None:
    files = {"a.parquet": good(tmp_path / "good.parquet")}
    refused(tmp_path, files, "more than 19 rows", TooLarge, max_files=19)
    refused(tmp_path, files, "more than 50 bytes", TooLarge, max_member_bytes=50)
    refused(tmp_path, files, "more than 500 bytes", TooLarge, max_total_bytes=500)
    assert len(read(tmp_path, files, max_files=20).members) == 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file[:-1], "cut short"),
        (lambda file: file[:200], "cut short"),
        (lambda file: file[:4], "cut short"),
        (lambda file: file[:-8] + b"\xff\xff\xff\x7f" + b"PAR1", "cut short"),
        (lambda file: file[:-8] + b"\xff\xff\xff\xff" + b"PAR1", "cut short"),
        (lambda file: b"PARE" + file[4:-4] + b"PARE", "is encrypted"),
    ],
)
def test_damaged_files(tmp_path: Path, change: "type[bytes]", words: str) -> None:
    refused(tmp_path, {"a.parquet": change(good(tmp_path / "good.parquet"))}, f"'a.parquet'.*{words}")


def test_a_footer_of_more_than_8_mib(tmp_path: Path) -> None:
    made = pa.table({"image": [picture(0)], "label": [0]}).replace_schema_metadata({"x": "y" * 9 * MIB})
    refused(tmp_path, {"a.parquet": lambda path: pq.write_table(made, path)}, "footer", TooLarge)


def test_what_arrow_cannot_read_is_not_called_damaged(tmp_path: Path) -> None:
    made = pa.table({"image": [picture(0)], "label": pa.array(["a"]).dictionary_encode()})
    encoding = {"label": "DELTA_BYTE_ARRAY"}
    refused(
        tmp_path,
        {"a.parquet": lambda path: pq.write_table(made, path, use_dictionary=False, column_encoding=encoding)},
        "written in a way that is not read",
    )


def test_arrow_is_loaded_only_where_there_is_parquet() -> None:
    code = "import sys, noisegate.data.uploads, noisegate.data.packing; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
