"""Files that several machines share: an object store behind fsspec, and each machine's folder as its cache.

An object's name is the SHA-256 of its bytes, so a cache is never stale: what lies in it is right, or it does not lie there.
"""

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.asyn import sync

from noisegate.disk import storage_errors
from noisegate.errors import StorageUnavailable
from noisegate.store.artefacts import Artefacts, is_digest
from noisegate.store.settings import Settings

# What a library of fsspec's has to be told, by the URL's scheme. A store that does not answer is noticed in seconds: some
# calls are made while a transaction holds a lock.
_S3 = {"config_kwargs": {"connect_timeout": 3, "read_timeout": 5, "retries": {"max_attempts": 0}}}
_OPTIONS: dict[str, dict[str, Any]] = {"s3": _S3, "s3a": _S3, "file": {"auto_mkdir": True}}

# One small question, repetitions included; an upload takes longer, and so much longer for every byte.
_CALL_SECONDS = 5.0
_UPLOAD_SECONDS_PER_BYTE = 1 / 2**20
_CHUNK_BYTES = 8 * 2**20
# What was asked for just now is about to be opened, by this process or another one on this machine.
_IN_USE_SECONDS = 60.0


class DamagedFile(OSError):
    """An object whose bytes do not have the digest that it is named by."""

    def __init__(self, digest: str) -> None:
        super().__init__(errno.EIO, f"the shared file {digest} is damaged: its bytes have another SHA-256")


def open_artefacts(settings: Settings) -> Artefacts:
    """This machine's own files, or those that it shares with others, as the settings say."""
    if not settings.artefact_url:
        return Artefacts(settings.artefact_root)
    return RemoteArtefacts(settings.artefact_root, settings.artefact_url, cache_bytes=settings.artefact_cache_bytes)


class RemoteArtefacts(Artefacts):
    """Artefacts whose home is an fsspec URL; `root` keeps those that this machine has used last.

    Beyond what the methods of `Artefacts` raise, all but `path` may raise StorageUnavailable.
    """

    def __init__(self, root: Path, url: str, *, cache_bytes: int) -> None:
        super().__init__(root)
        self._cache_bytes = cache_bytes
        options = _OPTIONS.get(url.partition("://")[0], {})
        # Others put and remove objects, too: nothing that was listed before is believed.
        self._remote, prefix = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
        self._folder = f"{prefix.rstrip('/')}/sha256"

    def fetch(self, digest: str) -> Path:
        """The file, brought to this machine if it is not here yet. It stays for a minute at least, and longer while it is used.

        Raises:
            FileNotFoundError: no such file.
            DamagedFile: what was stored is something else.
            StorageFull: no room for it here.
        """
        path = self.path(digest)
        if not _touch(path):
            with self.scratch() as folder:
                self._download(digest, folder / "data")
                super().place(folder / "data", digest)
        return path

    def seal(self, file: Path) -> str:
        """As of `Artefacts`; the bytes are in the shared store as well, freshly dated."""
        digest = super().seal(file)
        self._make_room(file.stat().st_size)
        self._upload(file, digest)
        return digest

    def place(self, file: Path, digest: str) -> None:
        """As of `Artefacts`, after a look whether the object is still in the shared store."""
        if not self._is_there(digest):  # it was removed since it was sealed, as no row named it
            self._upload(file, digest)
        super().place(file, digest)

    def delete(self, digest: str) -> None:
        """Remove the object, if it is there, and this machine's copy; those of other machines go as their caches fill up."""
        with suppress(FileNotFoundError):
            self._ask(_CALL_SECONDS, "rm_file", self._object(digest))
        super().delete(digest)

    def size_bytes(self, digest: str) -> int:
        """Of the object in the shared store; 0 if it is not there."""
        try:
            with _remote_errors():
                return int(self._remote.info(self._object(digest))["size"])
        except FileNotFoundError:
            return 0

    def older_than(self, seconds: float) -> list[str]:
        """Digests of the objects in the shared store that were put longer ago than this."""
        deadline = time.time() - seconds
        with _remote_errors(), suppress(FileNotFoundError):
            found = self._remote.find(self._folder, detail=True)
            named = ((PurePosixPath(path).name, info) for path, info in found.items())
            return [name for name, info in named if is_digest(name) and self._modified(info) < deadline]
        return []  # nothing was ever put

    def _object(self, digest: str) -> str:
        return f"{self._folder}/{self.path(digest).name}"

    def _download(self, digest: str, file: Path) -> None:
        hashed = hashlib.sha256()
        with storage_errors(), file.open("wb") as written:
            for chunk in self._chunks(digest):
                hashed.update(chunk)
                written.write(chunk)
            written.flush()
            os.fsync(written.fileno())
        if hashed.hexdigest() != digest:
            raise DamagedFile(digest)

    def _chunks(self, digest: str) -> Iterator[bytes]:
        try:
            with _remote_errors():
                opened = self._remote.open(self._object(digest), "rb", block_size=_CHUNK_BYTES, cache_type="readahead")
        except FileNotFoundError as error:  # whose words name the object's place
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
        with opened:
            self._make_room(opened.size)
            while True:
                with _remote_errors():
                    chunk = opened.read(_CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def _upload(self, file: Path, digest: str) -> None:
        seconds = 2 * _CALL_SECONDS + file.stat().st_size * _UPLOAD_SECONDS_PER_BYTE
        try:
            self._ask(seconds, "put_file", str(file), self._object(digest))
        except FileNotFoundError as error:  # nothing was looked for: it is the bucket that is not there
            raise _unavailable("does not exist") from error

    def _is_there(self, digest: str) -> bool:
        try:
            self._ask(_CALL_SECONDS, "info", self._object(digest))
        except FileNotFoundError:
            return False
        return True

    def _ask(self, seconds: float, name: str, *arguments: str) -> None:
        """Call this method of the file system; where its library is asynchronous, as that of S3 is, for so long at most."""
        with _remote_errors():
            if self._remote.async_impl:
                sync(self._remote.loop, getattr(self._remote, f"_{name}"), *arguments, timeout=seconds)
            else:
                getattr(self._remote, name)(*arguments)

    def _modified(self, info: dict[str, Any]) -> float:
        modified = info.get("LastModified") or self._remote.modified(info["name"])
        assert isinstance(modified, datetime)
        return modified.timestamp()

    def _make_room(self, wanted: int) -> None:
        """Remove from this machine what was used longest ago, until `wanted` more bytes fit.

        What is mapped or open meanwhile stays readable: its bytes go when it is closed everywhere.
        """
        held = sorted(_sizes(self.root / "sha256"))
        total = wanted + sum(size for _, size, _ in held)
        for used, size, path in held:
            if total <= self._cache_bytes or used > time.time() - _IN_USE_SECONDS:
                return
            if _used(path) > used:
                continue  # asked for since we looked
            path.unlink(missing_ok=True)
            total -= size


def _sizes(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each file was last used, its size, and where it lies."""
    for path in folder.glob("??/*"):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue  # another process has made room, too
        yield found.st_mtime, found.st_size, path


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # another process has made room, too


def _touch(path: Path) -> bool:
    """Whether the file is there; it has just been used then."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _remote_errors() -> Iterator[None]:
    """Turns trouble with the store into StorageUnavailable; only that something is not there passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise _unavailable("refuses access") from error
    except Exception as error:  # every library has errors of its own
        # By its type alone: the message may hold an address or a key's name.
        raise _unavailable(f"does not answer ({type(error).__name__})") from error


def _unavailable(said: str) -> StorageUnavailable:
    return StorageUnavailable(f"the store that holds artefacts {said}", retry_after_seconds=10)
