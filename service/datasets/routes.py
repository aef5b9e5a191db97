"""Datasets: uploaded or fetched, looked at, deleted."""

import io
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool

from noisegate.errors import InvalidInput, NotFound, NotReady
from noisegate.store import datasets
from noisegate.store.datasets import Registered
from noisegate.store.packed import open_packed
from noisegate.store.pages import Page
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from service.bodies import JSON, MULTIPART, content_type_of, parse_json, unsupported
from service.datasets.registration import DEFAULT_IMAGE_SIZE, Wanted, register
from service.datasets.schemas import DatasetRead, Name, SourceDocument
from service.datasets.uploads import Received, Upload
from service.deps import ArtefactsDep, PagingDep, Resources, ResourcesDep, SessionsDep
from service.errors import problems
from service.schemas import POLL_SECONDS, Collection

# Which kind of archive it is, its first bytes tell; these only say that the body is one.
ARCHIVES = (
    "application/zip",
    "application/x-tar",
    "application/gzip",
    "application/x-xz",
    "application/octet-stream",
)
MIN_IMAGE_SIZE = 8
# What a header may carry as it is; everything else in a class name is percent-encoded.
_HEADER_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM: dict[str, Any] = {"type": "object", "required": ["archive"], "properties": {"archive": _BINARY}}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        **{kind: {"schema": _BINARY} for kind in ARCHIVES},
        MULTIPART: {"schema": _FORM},
        JSON: {"schema": SourceDocument.model_json_schema(), "example": {"source": "cifar10"}},
    },
}

router = APIRouter(prefix="/datasets", tags=["datasets"])


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": DatasetRead, "description": "This archive was sent before"},
        **problems(400, 409, 413, 415, 422, 507),
    },
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def create_dataset(
    request: Request,
    resources: ResourcesDep,
    background: BackgroundTasks,
    response: Response,
    name: Annotated[Name | None, Query(description="Default: made from the archive's digest, or the source.")] = None,
    image_size: Annotated[int, Query(description="Side of the square that images become.")] = DEFAULT_IMAGE_SIZE,
) -> DatasetRead:
    """Upload an archive (zip, tar, tar.gz, tar.xz) of `train/<class>/*` and `test/<class>/*`, or `<class>/*`.

    Or name a `source` in a JSON body. Ingestion goes on in a worker; GET the `Location` until it is `ready`.
    """
    found = await _registered(request, resources, name, image_size)
    dataset = found.dataset
    if dataset.state is DatasetState.INGESTING:
        background.add_task(resources.wakeups.ingest, dataset.id)
    if not found.created:
        response.status_code = 200
    response.headers["Location"] = f"/datasets/{dataset.id}"
    return _polled(DatasetRead.model_validate(dataset), response)


@router.get("", responses=problems(422))
def list_datasets(sessions: SessionsDep, paging: PagingDep) -> Collection[DatasetRead]:
    """Datasets, newest first."""
    with sessions.reading() as session:
        page: Page[Dataset] = datasets.page(session, cursor=paging.cursor, limit=paging.limit)
        return Collection(items=[DatasetRead.model_validate(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{reference}", responses=problems(404, 422))
def get_dataset(reference: str, sessions: SessionsDep, response: Response) -> DatasetRead:
    """One dataset, by id or name; `Retry-After` says when to look again while it is ingested."""
    with sessions.reading() as session:
        return _polled(DatasetRead.model_validate(datasets.get(session, reference)), response)


@router.delete("/{dataset_id}", status_code=204, responses=problems(404, 409, 422))
def delete_dataset(dataset_id: str, sessions: SessionsDep, artefacts: ArtefactsDep) -> None:
    """Delete a dataset that no experiment uses, and its files."""
    with sessions.begin() as session:
        deleted = datasets.delete(session, dataset_id)
    if deleted.content_hash is None:
        return
    # An ingestion of the same content may be about to name these files: whoever holds the lock decides.
    with sessions.begin() as session:
        datasets.lock_digest(session, deleted.content_hash)
        for digest in datasets.unreferenced(session, deleted.digests):
            artefacts.delete(digest)


@router.get(
    "/{reference}/images/{split}/{index:int}.png",
    response_class=Response,
    responses={
        200: {
            "description": "The image",
            "content": {"image/png": {"schema": _BINARY}},
            "headers": {"X-Label": {"description": "Its class, percent-encoded.", "schema": {"type": "string"}}},
        },
        **problems(404, 409, 422),
    },
)
def get_image(
    reference: str, split: Literal["train", "test"], index: int, sessions: SessionsDep, artefacts: ArtefactsDep
) -> Response:
    """One image as it was packed, with its class in `X-Label`."""
    with sessions.reading() as session:
        dataset = datasets.get(session, reference)
    if dataset.state is DatasetState.INGESTING:
        raise NotReady(f"dataset {dataset.name!r} is still being ingested", retry_after_seconds=int(POLL_SECONDS))
    count = dataset.train_count if split == "train" else dataset.test_count
    if not 0 <= index < (count or 0):
        raise NotFound(f"the {split} split of dataset {dataset.name!r} has {count or 0} images", field="index")
    packed = open_packed(artefacts, dataset)
    place = index if split == "train" else packed.train_count + index
    png = io.BytesIO()
    Image.fromarray(packed.images[place]).save(png, "PNG")
    label = quote(packed.classes[packed.labels[place]], safe=_HEADER_SAFE)
    return Response(png.getvalue(), headers={"X-Label": label}, media_type="image/png")


async def _registered(request: Request, resources: Resources, name: str | None, image_size: int) -> Registered:
    content_type = content_type_of(request)
    largest = resources.settings.caps.image_size
    if content_type == JSON:
        document = parse_json(await request.body(), SourceDocument)
        size = _checked_size(image_size if document.image_size is None else document.image_size, largest)
        wanted = Wanted(document.name or name or document.source, document.source, size)
        return await run_in_threadpool(register, resources.sessions, wanted)
    size = _checked_size(image_size, largest)
    upload = Upload(resources.artefacts, resources.settings.min_free_bytes)
    if content_type == MULTIPART:
        receiving = upload.form(request)
    elif content_type in ARCHIVES:
        receiving = upload.raw(request)
    else:
        raise unsupported(content_type, [*ARCHIVES, MULTIPART, JSON])
    async with receiving as archive:
        wanted = Wanted(name or f"upload-{archive.digest[:12]}-{size}", "upload", size, archive.digest)
        return await run_in_threadpool(_register_upload, resources, wanted, archive)


def _checked_size(image_size: int, largest: int) -> int:
    if not MIN_IMAGE_SIZE <= image_size <= largest:
        remedy = f"Give a size from {MIN_IMAGE_SIZE} to {largest}."
        raise InvalidInput(f"is {image_size}, which this server does not pack", field="image_size", remedy=remedy)
    return image_size


def _register_upload(resources: Resources, wanted: Wanted, archive: Received) -> Registered:
    """Enter the dataset and, if it is new, keep its archive; after a failure the archive goes, unless others wait for it."""
    try:
        return register(
            resources.sessions, wanted, bring_in=lambda: resources.artefacts.place(archive.file, archive.digest)
        )
    except Exception:
        with resources.sessions.begin() as session:
            datasets.lock_digest(session, archive.digest)
            if not datasets.upload_in_use(session, archive.digest):
                resources.artefacts.delete(archive.digest)
        raise


def _polled(answer: DatasetRead, response: Response) -> DatasetRead:
    if answer.state is DatasetState.INGESTING:
        response.headers["Retry-After"] = POLL_SECONDS
    return answer
