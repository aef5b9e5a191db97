"""Datasets: uploaded or fetched, looked at, deleted."""

import hashlib
import io
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Literal
from urllib.parse import quote

import structlog
from fastapi import APIRouter, BackgroundTasks, Path, Query, Request, Response
from PIL import Image
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from noisegate.api.dataset_report import DatasetReport
from noisegate.api.reading import BadImages, NameEncoding, Reading, Validation
from noisegate.errors import Conflict, InvalidInput, NotFound, NotReady
from noisegate.store import dataset_names, datasets, files
from noisegate.store.artefacts import Artefacts
from noisegate.store.idempotency import StoredAnswer
from noisegate.store.json_columns import readable
from noisegate.store.packed import open_packed
from noisegate.store.pages import Page
from noisegate.store.prerequisites import usable_base
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from service.bodies import JSON, MULTIPART, content_type_of, parse_json, unsupported
from service.datasets.dry_run import inspected
from service.datasets.registration import DEFAULT_IMAGE_SIZE, Wanted, register
from service.datasets.schemas import DatasetRead, Name, SourceDocument, read
from service.datasets.uploads import Received, Upload
from service.deps import ArtefactsDep, PagingDep, Resources, ResourcesDep, SessionsDep
from service.errors import problems
from service.idempotency import REPLAYED, IdempotencyKeyHeader, Once, keyed
from service.schemas import LOCATED, POLL_SECONDS, POLLED, Collection

log = structlog.get_logger(__name__)

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

_OF_READING = Reading.model_fields
_Names = Annotated[NameEncoding | None, Query(description=_OF_READING["names"].description)]
_BadImages = Annotated[BadImages, Query(description=_OF_READING["bad_images"].description)]
_Validation = Annotated[Validation, Query(description=_OF_READING["validation"].description)]
_Base = Annotated[
    str | None,
    Query(
        description="Id or name of a dataset: the new one holds its images, as they are there, and those of the upload."
    ),
]

_CREATED = LOCATED | POLLED | REPLAYED

router = APIRouter(prefix="/datasets", tags=["datasets"])


@router.post(
    "",
    status_code=202,
    response_model=DatasetRead,
    responses={
        200: {
            "model": DatasetRead | DatasetReport,
            "description": "This archive was sent before; or, of a dry run, the report",
            "headers": _CREATED,
        },
        202: {"description": "It waits for a worker", "headers": _CREATED},
        **problems(400, 409, 413, 415, 422, 507),
    },
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def create_dataset(
    request: Request,
    resources: ResourcesDep,
    background: BackgroundTasks,
    name: Annotated[Name | None, Query(description="Default: made from the archive's digest, or the source.")] = None,
    image_size: Annotated[
        int | None,
        Query(description=f"Side of the square that images become. Default: {DEFAULT_IMAGE_SIZE}, or the base's."),
    ] = None,
    names: _Names = None,
    bad_images: _BadImages = "refuse",
    validation: _Validation = "auto",
    base: _Base = None,
    dry_run: Annotated[bool, Query(description="Of an upload: answer with the report, and keep nothing.")] = False,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Upload labelled images: an archive of class folders, or of any other layout that docs/data.md lists.

    With a `base` the dataset is a version of that one: what is in the base already is left out, and originals are shared.
    Or name a `source` in a JSON body. Ingestion goes on in a worker; GET the `Location` until it is `ready`. With `dry_run` an
    upload is read at once, and answered with what was found in it.
    """
    reading = Reading(names=names, bad_images=bad_images, validation=validation)

    def announce(dataset_id: str) -> None:
        background.add_task(_announce, resources, dataset_id)

    content_type = content_type_of(request)
    largest = resources.settings.caps.image_size
    if content_type == JSON:
        _check_upload_only(request)
        body = await request.body()
        document = parse_json(body, SourceDocument)
        size = _checked_size(image_size if document.image_size is None else document.image_size, largest)
        wanted = Wanted(document.name or name or document.source, document.source, size)
        once = _once(request, resources, idempotency_key, hashlib.sha256(body).hexdigest())
        return await run_in_threadpool(_entered, once, announce, wanted)
    onto = None if base is None else await run_in_threadpool(_found_base, resources, base, image_size)
    size = onto.image_size if onto else _checked_size(image_size, largest)
    async with _receiving(request, resources, content_type) as archive:
        if dry_run:
            if name is not None:
                await run_in_threadpool(_check_name_is_free, resources, name)
            return _report_answer(await inspected(resources, archive, size, reading, onto))
        usual = _usual_name(archive.digest, size, reading, onto)
        wanted = Wanted(name or usual, "upload", size, archive.digest, reading, onto.id if onto else None)
        once = _once(request, resources, idempotency_key, archive.digest)
        return await run_in_threadpool(_uploaded, once, announce, wanted, archive, resources.artefacts)


@router.get("", responses=problems(422))
def list_datasets(sessions: SessionsDep, paging: PagingDep) -> Collection[DatasetRead]:
    """Datasets, newest first."""
    with sessions.reading() as session:
        page: Page[Dataset] = datasets.page(session, cursor=paging.cursor, limit=paging.limit)
        return Collection(items=read(session, page.items), next_cursor=page.next_cursor)


@router.get("/{reference}", responses={200: {"headers": POLLED}, **problems(404, 422)})
def get_dataset(reference: str, sessions: SessionsDep, response: Response) -> DatasetRead:
    """One dataset, by id or name; `Retry-After` says when to look again while it is ingested."""
    with sessions.reading() as session:
        (answer,) = read(session, [datasets.get(session, reference)])
    return _polled(answer, response)


@router.get("/{reference}/report", responses=problems(404, 409, 422))
def get_report(reference: str, sessions: SessionsDep) -> DatasetReport:
    """How the dataset's upload was read: layout, classes with samples, what was left out and why."""
    with sessions.reading() as session:
        dataset = datasets.get(session, reference)
        _check_ready(dataset)
        if dataset.report is None:
            remedy = "POST /datasets?dry_run=true with the same upload reports on it."
            raise NotFound(f"dataset {dataset.name!r} is older than reports", field="dataset", remedy=remedy)
        return readable(dataset.report)


@router.delete("/{reference}", status_code=204, responses=problems(404, 409, 422))
def delete_dataset(reference: str, sessions: SessionsDep, artefacts: ArtefactsDep, dry_run: bool = False) -> None:
    """Delete a dataset that no experiment uses, and its files. With `dry_run`, only see whether it can be deleted."""
    with sessions.begin(dry_run=dry_run) as session:
        digests = datasets.delete(session, reference)
    if dry_run:
        return
    log.info("dataset_deleted", dataset=reference)
    files.discard(sessions, artefacts, digests)


@router.get(
    "/{reference}/images/{split}/{index}.png",
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
    reference: str,
    split: Literal["train", "test"],
    index: Annotated[int, Path(ge=0)],
    sessions: SessionsDep,
    artefacts: ArtefactsDep,
) -> Response:
    """One image as it was packed, with its class in `X-Label`."""
    with sessions.reading() as session:
        dataset = datasets.get(session, reference)
    _check_ready(dataset)
    count = dataset.train_count if split == "train" else dataset.test_count
    if index >= (count or 0):
        raise NotFound(f"the {split} split of dataset {dataset.name!r} has {count or 0} images", field="index")
    packed = open_packed(artefacts, dataset)
    place = index if split == "train" else packed.train_count + index
    png = io.BytesIO()
    Image.fromarray(packed.images[place]).save(png, "PNG")
    label = quote(packed.classes[packed.labels[place]], safe=_HEADER_SAFE)
    return Response(png.getvalue(), headers={"X-Label": label}, media_type="image/png")


def _check_ready(dataset: Dataset) -> None:
    if dataset.state is DatasetState.INGESTING:
        raise NotReady(f"dataset {dataset.name!r} is still being ingested", retry_after_seconds=int(POLL_SECONDS))
    if dataset.state is DatasetState.FAILED and dataset.error:
        remedy = dataset.error.remedy
        raise Conflict(f"dataset {dataset.name!r} failed: {dataset.error.detail}", field="dataset", remedy=remedy)


def _check_upload_only(request: Request) -> None:
    """Refuse what says how an upload is to be read where there is none."""
    for name in (*Reading.model_fields, "base", "dry_run"):
        if name in request.query_params:
            raise InvalidInput("is for uploads, and a source was named", field=name, remedy="Leave it out.")


def _check_name_is_free(resources: Resources, name: str) -> None:
    with resources.sessions.reading() as session:
        dataset_names.check_free(session, name)


def _usual_name(digest: str, image_size: int, reading: Reading, base: Dataset | None) -> str:
    said = reading.model_dump(exclude_defaults=True).values()
    kind = f"{base.name[:100]}-with" if base else "upload"
    return "-".join([kind, digest[:12], str(image_size), *map(str, said)])


def _found_base(resources: Resources, reference: str, image_size: int | None) -> Dataset:
    with resources.sessions.reading() as session:
        return usable_base(session, reference, image_size)


def _report_answer(report: DatasetReport) -> Response:
    return Response(report.model_dump_json(), media_type=JSON)


def _announce(resources: Resources, dataset_id: str) -> None:
    # The line that ties a request to what workers log.
    log.info("dataset_posted", dataset=dataset_id)
    resources.wakeups.ingest(dataset_id)


def _once(request: Request, resources: Resources, key: str | None, body_digest: str) -> Once:
    return Once(resources.sessions, resources.settings, keyed(request, key, body_digest))


def _receiving(request: Request, resources: Resources, content_type: str) -> AbstractAsyncContextManager[Received]:
    upload = Upload(resources.artefacts, resources.settings.min_free_bytes)
    if content_type == MULTIPART:
        return upload.form(request)
    if content_type in ARCHIVES:
        return upload.raw(request)
    raise unsupported(content_type, [*ARCHIVES, MULTIPART, JSON])


def _entered(
    once: Once, announce: Callable[[str], None], wanted: Wanted, bring_in: Callable[[], None] = lambda: None
) -> Response:
    def enter(session: Session) -> StoredAnswer:
        found = register(session, wanted, bring_in)
        dataset = found.dataset
        waits = dataset.state is DatasetState.INGESTING
        if waits:
            announce(dataset.id)
        (answer,) = read(session, [dataset])
        headers = {"Location": f"/datasets/{dataset.id}"} | ({"Retry-After": POLL_SECONDS} if waits else {})
        return StoredAnswer(202 if found.created else 200, headers, answer.model_dump_json())

    return once.answer(enter)


def _uploaded(
    once: Once, announce: Callable[[str], None], wanted: Wanted, archive: Received, artefacts: Artefacts
) -> Response:
    """Enter the dataset and, if it is new, keep its archive; after a failure the archive goes, unless others wait for it."""
    try:
        return _entered(once, announce, wanted, lambda: artefacts.place(archive.file, archive.digest))
    except Exception:
        files.discard(once.sessions, artefacts, [archive.digest])
        raise


def _checked_size(asked: int | None, largest: int) -> int:
    image_size = DEFAULT_IMAGE_SIZE if asked is None else asked
    if not MIN_IMAGE_SIZE <= image_size <= largest:
        remedy = f"Give a size from {MIN_IMAGE_SIZE} to {largest}."
        raise InvalidInput(f"is {image_size}, which this server does not pack", field="image_size", remedy=remedy)
    return image_size


def _polled(answer: DatasetRead, response: Response) -> DatasetRead:
    if answer.state is DatasetState.INGESTING:
        response.headers["Retry-After"] = POLL_SECONDS
    return answer
