"""Datasets: listed, looked at, deleted."""

import io
from typing import Annotated, Any, Literal
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Path, Response
from PIL import Image

from noisegate.api.dataset_report import DatasetReport
from noisegate.errors import Conflict, NotFound, NotReady
from noisegate.store import datasets, files
from noisegate.store.packed import open_packed
from noisegate.store.pages import Page
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from service.datasets.schemas import DatasetRead, read
from service.deps import ArtefactsDep, PagingDep, SessionsDep
from service.errors import problems
from service.schemas import POLL_SECONDS, POLLED, Collection

log = structlog.get_logger(__name__)

# What a header may carry as it is; everything else in a class name is percent-encoded.
_HEADER_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}

router = APIRouter(prefix="/datasets", tags=["datasets"])


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
        answer = answer.model_copy(update={"skipped": datasets.skipped(session, reference)})
    return _polled(answer, response)


@router.get("/{reference}/report", responses=problems(404, 409, 422))
def get_report(reference: str, sessions: SessionsDep) -> DatasetReport:
    """How the upload was read that was sent under this name: layout, classes with samples, what was left out and why."""
    with sessions.reading() as session:
        found = datasets.reported(session, reference)
        check_ready(found.dataset)
        if found.report is None:
            remedy = "POST /datasets?dry_run=true with the same upload reports on it."
            raise NotFound(f"dataset {found.dataset.name!r} is older than reports", field="dataset", remedy=remedy)
        return found.report


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
    check_ready(dataset)
    count = dataset.train_count if split == "train" else dataset.test_count
    if index >= (count or 0):
        raise NotFound(f"the {split} split of dataset {dataset.name!r} has {count or 0} images", field="index")
    packed = open_packed(artefacts, dataset)
    place = index if split == "train" else packed.train_count + index
    png = io.BytesIO()
    Image.fromarray(packed.images[place]).save(png, "PNG")
    label = quote(packed.classes[packed.labels[place]], safe=_HEADER_SAFE)
    return Response(png.getvalue(), headers={"X-Label": label}, media_type="image/png")


def check_ready(dataset: Dataset) -> None:
    """
    Raises:
        NotReady, Conflict: it is still being ingested, or has failed.
    """
    if dataset.state is DatasetState.INGESTING:
        raise NotReady(f"dataset {dataset.name!r} is still being ingested", retry_after_seconds=int(POLL_SECONDS))
    if dataset.state is DatasetState.FAILED and dataset.error:
        remedy = dataset.error.remedy
        raise Conflict(f"dataset {dataset.name!r} failed: {dataset.error.detail}", field="dataset", remedy=remedy)


def _polled(answer: DatasetRead, response: Response) -> DatasetRead:
    if answer.state is DatasetState.INGESTING:
        response.headers["Retry-After"] = POLL_SECONDS
    return answer
