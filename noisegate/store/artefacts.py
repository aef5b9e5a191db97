"""Files that are never changed, each stored under the SHA-256 of its bytes, below one folder.

Paths are built from digests that this module computed or checked, never from a caller's words.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noisegate.disk import storage_errors

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Artefacts:
    """A content-addressed folder. `root` is made when first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the file with this digest lies, or would lie.

        Raises:
            ValueError: `digest` is not 64 lower-case hexadecimal digits.
        """
        if not is_digest(digest):
            raise ValueError(f"not a SHA-256 digest: {digest!r}")
        return self.root / "sha256" / digest[:2] / digest

    def fetch(self, digest: str) -> Path:
        """Where the file lies, to be opened at once; of files that machines share, it may take as long as a download.

        Raises:
            FileNotFoundError: no such file.
        """
        path = self.path(digest)
        path.stat()
        return path

    def read(self, digest: str) -> bytes:
        """The file's bytes.

        Raises:
            FileNotFoundError: no such file.
        """
        return self.fetch(digest).read_bytes()

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
            os.utime(file)  # its age, which `older_than` asks for, counts from here
            file.replace(target)
            _sync_folder(target.parent)

    def delete(self, digest: str) -> None:
        """Remove the file, if it is there."""
        self.path(digest).unlink(missing_ok=True)

    def size_bytes(self, digest: str) -> int:
        """Of the file; 0 if it is not there."""
        path = self.path(digest)
        return path.stat().st_size if path.exists() else 0

    def free_bytes(self) -> int:
        """Room left on the file system."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free

    def older_than(self, seconds: float) -> list[str]:
        """Digests of the files that were put longer ago than this."""
        deadline = time.time() - seconds
        return [path.name for path in (self.root / "sha256").glob("??/*") if _put_before(path, deadline)]

    def sweep_scratch(self, older_than_seconds: float) -> list[str]:
        """Remove scratch folders whose process was killed before it could: those untouched for so long. Answers their names."""
        folders = self.scratch_leftovers(older_than_seconds)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)  # another sweep, or its own end, may have come first
        return [folder.name for folder in folders]

    def scratch_leftovers(self, older_than_seconds: float) -> list[Path]:
        """The scratch folders that `sweep_scratch` would remove."""
        deadline = time.time() - older_than_seconds
        parent = self.root / "scratch"
        return [folder for folder in parent.iterdir() if _touched(folder) < deadline] if parent.exists() else []

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


def is_digest(words: str) -> bool:
    """Whether this has the form of a SHA-256 digest."""
    return _DIGEST.fullmatch(words) is not None


def _sync_folder(folder: Path) -> None:
    """Have a new name in the folder survive a power cut: a database elsewhere may be about to name it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _put_before(path: Path, deadline: float) -> bool:
    try:
        return path.stat().st_mtime < deadline
    except FileNotFoundError:
        return False


def _touched(folder: Path) -> float:
    """When anything in the folder was last written to."""
    try:
        return max(path.stat().st_mtime for path in [folder, *folder.iterdir()])
    except FileNotFoundError:
        return time.time()  # it is being removed or renamed this moment: no leftover
