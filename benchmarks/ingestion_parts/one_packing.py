"""Packs one archive in a process of its own and prints what it took, as JSON.

    PYTHONPATH=CHECKOUT python one_packing.py CHECKOUT ARCHIVE

The checkout says which version packs; versions before `read_upload` read archives only.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import noisegate
from noisegate.data.members import ArchiveLimits
from noisegate.data.packing import pack
from noisegate.inference.decoding import ImageLimits

try:
    from noisegate.data.uploads import read_upload
except ImportError:
    from noisegate.data import archives

    def read_upload(path, limits, _folder):  # type: ignore[no-untyped-def,misc]
        return archives.read_archive(path, limits)  # type: ignore[call-arg]


IMAGE_SIZE = 32


def main() -> None:
    checkout, archive = Path(sys.argv[1]), Path(sys.argv[2])
    assert Path(noisegate.__file__).is_relative_to(checkout), f"{noisegate.__file__} is of another version"
    with tempfile.TemporaryDirectory(prefix="noisegate-ingestion-", dir=archive.parent) as name:
        started, used = time.perf_counter(), _cpu_seconds()
        folder = Path(name)
        packed = pack(read_upload(archive, ArchiveLimits(), folder), IMAGE_SIZE, folder, lambda _: None, ImageLimits())
        took = {"wall_seconds": time.perf_counter() - started, "cpu_seconds": _cpu_seconds() - used}
    found = {
        "images": packed.train_count + packed.test_count,
        "classes": len(packed.classes),
        "hash": packed.content_hash,
    }
    print(json.dumps({**took, "peak_rss_mib": _peak_bytes() / 2**20, **found}))


def _cpu_seconds() -> float:
    """Of this process and those that it has started and seen end."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_bytes() -> int:
    # Not of getrusage, which counts the process that started this one until it became Python.
    lines = Path("/proc/self/status").read_text().splitlines()
    own = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    # The largest of the others; none runs beside another.
    return own + 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


if __name__ == "__main__":
    main()
