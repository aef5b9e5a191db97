"""An archive's way from the socket to a scratch folder: never whole in memory, and nothing left behind when it fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request

from noisegate.disk import storage_errors
from noisegate.errors import InvalidArchive, InvalidInput
from noisegate.store.artefacts import Artefacts
from noisegate.store.quotas import check_room
from service.bodies import declared_bytes
from service.file_names import name_in_disposition, shown_name
from service.parameters import MOST_FIELDS, check_form, query_names

# Chunks from the socket are gathered to this size, so that a large upload takes few turns in the thread pool.
_BATCH_BYTES = 2**20


@dataclass(frozen=True)
class Received:
    """An archive on the disk that holds artefacts, in a scratch folder that is about to be removed.

    `name` is what its sender calls the file, for sentences about it.
    """

    file: Path
    digest: str
    name: str | None


class Upload:
    """Receives archives, leaving `min_free_bytes` of the disk free."""

    def __init__(self, artefacts: Artefacts, min_free_bytes: int) -> None:
        self._artefacts = artefacts
        self._min_free_bytes = min_free_bytes

    @asynccontextmanager
    async def raw(self, request: Request) -> AsyncIterator[Received]:
        """The request's body.

        Raises:
            StorageFull: no room for it.
            InvalidArchive: it is empty.
        """
        self._check_room(declared_bytes(request.headers))
        async with contextmanager_in_threadpool(self._artefacts.scratch()) as folder:
            archive = folder / "archive"
            with archive.open("wb") as file:
                batch = bytearray()
                async for chunk in request.stream():
                    batch += chunk
                    if len(batch) >= _BATCH_BYTES:
                        await run_in_threadpool(self._write, file, bytes(batch))
                        batch.clear()
                await run_in_threadpool(self._write, file, bytes(batch))
            yield await self._received(archive, name_in_disposition(request.headers.get("Content-Disposition")))

    @asynccontextmanager
    async def form(self, request: Request) -> AsyncIterator[Received]:
        """The form's file `archive`.

        The form lies on the disk of the system's temporary folder first: its end has to be found before the file's is known.

        Raises:
            InvalidInput: the form has no such file.
            StorageFull, InvalidArchive: as `raw`.
        """
        self._check_room(declared_bytes(request.headers))
        # Room may run out in the temporary folder as well.
        with storage_errors():
            async with (
                request.form(max_files=1, max_fields=MOST_FIELDS) as form,
                contextmanager_in_threadpool(self._artefacts.scratch()) as folder,
            ):
                check_form(form, ["archive"], query_names(request.scope["route"]))
                sent = form.get("archive")
                if not isinstance(sent, UploadFile):
                    remedy = "Send the file in the field `archive`."
                    raise InvalidInput("the form has no file", field="archive", remedy=remedy)
                archive = folder / "archive"
                await run_in_threadpool(self._copy, sent.file, archive)
                yield await self._received(archive, shown_name(sent.filename))

    async def _received(self, archive: Path, name: str | None) -> Received:
        if archive.stat().st_size == 0:
            raise InvalidArchive("is empty", field="archive", remedy="Send a zip or tar file as the body.")
        return Received(archive, await run_in_threadpool(self._artefacts.seal, archive), name)

    def _copy(self, source: IO[bytes], target: Path) -> None:
        with target.open("wb") as file:
            for data in iter(partial(source.read, _BATCH_BYTES), b""):
                self._write(file, data)

    def _write(self, file: IO[bytes], data: bytes) -> None:
        self._check_room(len(data))
        with storage_errors():
            file.write(data)
            # Now, under storage_errors, and not when the file is closed.
            file.flush()

    def _check_room(self, wanted: int) -> None:
        check_room(self._artefacts, min_free_bytes=self._min_free_bytes, wanted=wanted)
