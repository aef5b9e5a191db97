"""A full disk, whichever of its three error numbers says so."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noisegate.errors import StorageFull

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_full(error: BaseException) -> bool:
    """Whether the disk, the quota or the largest file size was reached."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turns a full disk into StorageFull; other errors pass."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        remedy = "Make room, or raise the quota; then send the data set again."
        raise StorageFull(f"no room left in {folder} ({error.strerror})", remedy=remedy) from error
