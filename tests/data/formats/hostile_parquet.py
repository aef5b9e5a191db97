"""Reads damaged copies of `good.parquet` in a folder, and prints how often which end came.

flip FOLDER footer|anywhere COUNT      some bytes changed, by seeds 0 … COUNT
each FOLDER OLD NEW                    each byte OLD of the footer set to NEW, one at a time
read FOLDER                            the file as it is
"""

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from noisegate.data.formats import read_collected
from noisegate.data.members import ArchiveLimits, Collected, LeftOut
from noisegate.errors import NoisegateError


def flipped(good: bytes, where: str, count: int) -> Iterator[bytes]:
    for seed in range(count):
        drawn = random.Random(seed)
        file = bytearray(good)
        for _ in range(drawn.choice([1, 1, 2, 4, 16])):
            place = drawn.randrange(_footer(good) if where == "footer" else 4, len(good))
            file[place] = drawn.choice([file[place] ^ 1 << drawn.randrange(8), 0, 1, 0x7F, 0x80, 0xFF])
        yield bytes(file)


def each(good: bytes, old: int, new: int) -> Iterator[bytes]:
    for place in range(_footer(good), len(good) - 8):
        if good[place] == old:
            yield good[:place] + bytes([new]) + good[place + 1 :]


def _footer(good: bytes) -> int:
    return len(good) - 8 - int.from_bytes(good[-8:-4], "little")


def _peak_kib() -> int:
    # Not getrusage, whose figure begins with that of the process before exec.
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def end_of(path: Path) -> str:
    rows = 0
    try:
        for found in read_collected([Collected("train.parquet", path)], {}, ArchiveLimits(), path.parent):
            if isinstance(found, LeftOut) and found.name == "train.parquet":
                return "left out"
            rows += 1
    except NoisegateError as error:
        return type(error).__name__
    return f"{rows} rows"


def main(action: str, folder: str, *arguments: str) -> None:
    path = Path(folder) / "good.parquet"
    good = path.read_bytes()
    match action:
        case "flip":
            files = flipped(good, arguments[0], int(arguments[1]))
        case "each":
            files = each(good, *map(int, arguments))
        case _:
            files = iter([good])
    counted: Counter[str] = Counter()
    for file in files:
        path.write_bytes(file)
        counted[end_of(path)] += 1
    counted["peak_mib"] = _peak_kib() // 1024
    print(json.dumps(counted))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
