"""What a format says of itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from noisegate.data.members import ArchiveLimits, Collected, LeftOut, Member, Told


@dataclass(frozen=True)
class Reader:
    """One format.

    Attributes:
        words: what a file of it is: `a Parquet file`.
        owns: whether a file is of this format, from its name and its first 16 bytes.
        read: the images of all its files, which come sorted by name, given the text files beside them, the limits, and a
            scratch folder. Raises InvalidArchive and TooLarge.
    """

    words: str
    owns: Callable[[str, bytes], bool]
    read: Callable[[Sequence[Collected], Mapping[str, bytes], ArchiveLimits, Path], Iterator[Member | LeftOut | Told]]
