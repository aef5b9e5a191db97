"""`POST /datasets`: an archive received and entered, or looked at in a dry run; or a source asked for by name."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from noisegate.api.dataset_report import DatasetReport
from noisegate.api.reading import BadImages, NameEncoding, Reading, Validation
from noisegate.errors import InvalidInput
from noisegate.store import dataset_names, files
from noisegate.store.artefacts import Artefacts
from noisegate.store.datasets import LABELS
from noisegate.store.idempotency import StoredAnswer
from noisegate.store.prerequisites import usable_base
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from service.bodies import JSON, MULTIPART, content_type_of, parse_json, unsupported
from service.datasets.dry_run import inspected
from service.datasets.registration import DEFAULT_IMAGE_SIZE, Wanted, register
from service.datasets.schemas import DatasetRead, Name, SourceDocument, read
from service.datasets.uploads import Received, Upload
from service.deps import Resources, ResourcesDep
from service.errors import problems
from service.idempotency import REPLAYED, IdempotencyKeyHeader, Once, keyed
from service.schemas import LOCATED, POLL_SECONDS, POLLED

log = structlog.get_logger(__name__)

# Which kind of archive it is, its first bytes tell; these only say that the body is one.
ARCHIVES = (
    "application/zip",
    "application/x-tar",
    "application/gzip",
    "application/x-xz",
    "application/octet-stream",
)
# Other labels for the images of a base.
CSV = "text/csv"
MIN_IMAGE_SIZE = 8

_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM: dict[str, Any] = {"type": "object", "required": ["archive"], "properties": {"archive": _BINARY}}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        **{kind: {"schema": _BINARY} for kind in ARCHIVES},
        MULTIPART: {"schema": _FORM},
        CSV: {"schema": {"type": "string"}},
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

Value = TypeVar("Value")

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
    Or send CSV of other labels for the images of a `base`: columns `image` (an id, as samples have it) or `name`, and `label`; an
    empty label leaves the image out. Or name a `source` in a JSON body. Ingestion goes on in a worker; GET the `Location` until it
    is `ready`. With `dry_run` an upload is read at once, and answered with what was found in it.
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
        size = _checked_size(_once_given("image_size", image_size, document.image_size), largest)
        wanted = Wanted(_once_given("name", name, document.name) or document.source, document.source, size)
        once = _once(request, resources, idempotency_key, hashlib.sha256(body).hexdigest())
        return await run_in_threadpool(_entered, once, announce, wanted)
    if content_type == CSV:
        _check_labels(request, base)
    onto = None if base is None else await run_in_threadpool(_found_base, resources, base, image_size)
    size = onto.image_size if onto else _checked_size(image_size, largest)
    async with _receiving(request, resources, content_type) as archive:
        if dry_run:
            if name is not None:
                await run_in_threadpool(_check_name_is_free, resources, name)
            return _report_answer(await inspected(resources, archive, size, reading, onto))
        usual = _usual_name(archive.digest, size, reading, onto)
        source, onto_id = LABELS if content_type == CSV else "upload", onto.id if onto else None
        wanted = Wanted(name or usual, source, size, archive.digest, reading, onto_id, archive.name)
        once = _once(request, resources, idempotency_key, archive.digest)
        return await run_in_threadpool(_uploaded, once, announce, wanted, archive, resources.artefacts)


def _check_upload_only(request: Request) -> None:
    """Refuse what says how an upload is to be read where there is none."""
    for name in (*Reading.model_fields, "base", "dry_run"):
        if name in request.query_params:
            raise InvalidInput("is for uploads, and a source was named", field=name, remedy="Leave it out.")


def _check_labels(request: Request, base: str | None) -> None:
    """Refuse labels without images, and what says how an archive is to be read."""
    if base is None:
        remedy = "Give ?base=<dataset>; or send an archive that holds images and table."
        raise InvalidInput("is missing: a table alone has no images", field="base", remedy=remedy)
    for name in (*Reading.model_fields, "dry_run"):
        if name in request.query_params:
            raise InvalidInput("is for archives, and a table was sent", field=name, remedy="Leave it out.")


def _once_given(field: str, in_query: Value | None, in_body: Value | None) -> Value | None:
    if in_query is not None and in_body is not None:
        raise InvalidInput("is given in the query and in the body", field=field, remedy="Give it once.")
    return in_body if in_query is None else in_query


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
    if content_type in (*ARCHIVES, CSV):
        return upload.raw(request)
    raise unsupported(content_type, [*ARCHIVES, MULTIPART, CSV, JSON])


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
