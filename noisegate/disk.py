"""A full disk, whichever of its three error numbers says so; and folders that others change meanwhile."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noisegate.errors import StorageFull

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_full(error: BaseException) -> bool:
    """Whether the disk, the quota or the largest file size was reached."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns a full disk into StorageFull; every other error passes."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        # Without the path: where files lie on this machine is not for callers.
        raise StorageFull(
            f"the disk that holds artefacts is full ({error.strerror})",
            remedy="Free some space or delete datasets, then try again.",
        ) from error


def files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder and the folders within. One that another process removes meanwhile is left out, or has gone when it is
    looked at; `Path.rglob` raises then.
    """
    for path, _, names in os.walk(folder):
        yield from (Path(path, name) for name in names)
