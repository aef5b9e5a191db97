"""Files that are never changed, each stored under the SHA-256 of its bytes, below one folder.

Paths are built from digests that this module computed or checked, never from a caller's words.
"""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noisegate.errors import StorageFull

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Artefacts:
    """A content-addressed folder. `root` is made when first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the file with this digest lies, or would lie.

        Raises:
            ValueError: `digest` is not 64 lower-case hexadecimal digits.
        """
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"not a SHA-256 digest: {digest!r}")
        return self.root / "sha256" / digest[:2] / digest

    def read(self, digest: str) -> bytes:
        """The file's bytes.

        Raises:
            FileNotFoundError: no such file.
        """
        return self.path(digest).read_bytes()

    def put_bytes(self, data: bytes) -> str:
        """Store `data`; answers its digest.

        Raises:
            StorageFull: no room; nothing is left behind.
        """
        with self.scratch() as folder, storage_errors():
            file = folder / "data"
            file.write_bytes(data)
            return self.put_file(file)

    def put_file(self, file: Path) -> str:
        """Move `file`, which must lie in a scratch folder, into the store; answers its digest."""
        digest = self.seal(file)
        self.place(file, digest)
        return digest

    def seal(self, file: Path) -> str:
        """The digest of `file`, once its bytes are safely on the disk. Takes as long as reading it does."""
        with storage_errors(), file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            os.fsync(opened.fileno())
        return digest

    def place(self, file: Path, digest: str) -> None:
        """Move a sealed file to where its digest is looked for; done in a moment."""
        with storage_errors():
            target = self.path(digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)

    def delete(self, digest: str) -> None:
        """Remove the file, if it is there."""
        self.path(digest).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Room left on the file system."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the same file system, removed with all that is in it when the block ends."""
        parent = self.root / "scratch"
        with storage_errors():
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns the operating system's ways of saying "full" into StorageFull; every other error passes."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(
                f"the disk that holds artefacts is full ({error.strerror})",
                remedy="Free some space or delete datasets, then try again.",
            ) from error
        raise
