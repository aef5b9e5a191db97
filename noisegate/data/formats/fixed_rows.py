"""Images that all have one size in bytes, as in arrays: the limits hold before any is read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from noisegate.data.members import ArchiveLimits, over_limit, refuse
from noisegate.errors import InvalidArchive

# Read at once: enough that calls do not count, and little beside one image of the largest size.
BLOCK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Rows:
    """How many images a file holds, and the bytes of each one's pixels."""

    name: str
    count: int
    image_bytes: int


def check_limits(files: Iterable[Rows], limits: ArchiveLimits) -> None:
    """Whether all images of these files may come out.

    Raises:
        TooLarge: too many, or too large alone or together.
    """
    count = total = 0
    for file in files:
        count += file.count
        total += file.count * file.image_bytes
        if count > limits.max_files:
            raise over_limit(
                f"with {file.name!r} there are more than {limits.max_files:,} images", "Split the data set."
            )
        if file.image_bytes > limits.max_member_bytes:
            detail = f"the images of {file.name!r} have more than {limits.max_member_bytes:,} bytes each"
            raise over_limit(detail, "Scale them down.")
        if total > limits.max_total_bytes:
            detail = f"with {file.name!r} there are more than {limits.max_total_bytes:,} bytes of pixels"
            raise over_limit(detail, "Split the data set, or scale its images down.")


def blocks(count: int, row_bytes: int) -> Iterator[range]:
    """The rows 0 … count in runs of about 8 MiB."""
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    return (range(start, min(start + step, count)) for start in range(0, count, step))


def cut_short(name: str) -> InvalidArchive:
    """The error for a file that ends before its last image does, or after."""
    return refuse(name, "is damaged or cut short", "Write it again, and check that the whole of it was sent.")
