"""Parquet, as Hugging Face's `datasets` and others write it: an image and its label in each row.

This module only tells which files those are. What reads them loads Arrow, 53 MiB and a fifth of a second, and is found by name
when there is one.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name

from noisegate.data.formats.readers import Reader
from noisegate.data.members import ArchiveLimits, Collected, LeftOut, Member, Told

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_READ = "noisegate.data.formats.parquet_rows:read"


def _read(
    files: Sequence[Collected], attachments: Mapping[str, bytes], limits: ArchiveLimits, folder: Path
) -> Iterator[Member | LeftOut | Told]:
    found: Iterator[Member | LeftOut | Told] = resolve_name(_READ)(files, attachments, limits, folder)
    return found


def _owns(name: str, head: bytes) -> bool:  # noqa: ARG001
    return head.startswith((_MAGIC, _ENCRYPTED))


PARQUET = Reader("a Parquet file", _owns, _read)
