"""GET /datasets/{reference}/export.zip: the images back in class folders, without those that samples speak against."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import StreamingResponse

from noisegate.data.originals import Originals
from noisegate.errors import FieldError, InvalidInput, InvalidSpec
from noisegate.spec.exclusion import Exclusion
from noisegate.store import datasets
from noisegate.store.packed import fetch_originals, open_packed
from noisegate.store.prerequisites import usable_dataset
from noisegate.store.tables import Dataset
from service.conditional import has_it_already
from service.datasets.export import zipped
from service.deps import Resources, ResourcesDep
from service.errors import problems
from service.samples.routes import CellQuery
from service.samples.selecting import Selecting
from service.samples.tables import TableWanted, ask_for

_ZIP = "application/zip"
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {_ZIP: {"schema": {"type": "string", "format": "binary"}}}},
}

router = APIRouter(prefix="/datasets", tags=["datasets"])


@router.get("/{reference}/export.zip", response_class=StreamingResponse, responses=_CONTENT | problems(404, 409, 422))
def export_dataset(
    reference: str,
    resources: ResourcesDep,
    request: Request,
    exclude: Annotated[
        str | None, Query(description="An experiment that recorded samples: images are left out by its table.")
    ] = None,
    reasons: Annotated[str | None, Query(description="Those that have one of these, parted by commas.")] = None,
    ids: Annotated[
        str | None, Query(description="Those with these ids, parted by commas; also without `exclude`.")
    ] = None,
    budget: Annotated[
        float | None, Query(description="The share of the training images with the lowest value.")
    ] = None,
    cell: CellQuery = None,
) -> Response:
    """The dataset as a zip of class folders, from the files that it came as. Test images are never left out."""
    asked = _asked(exclude, reasons, ids, budget, cell)
    dataset, left_out = _left_out(resources, reference, asked)
    told = json.dumps([dataset.content_hash, dataset.originals_digest, left_out])
    etag = f'"{hashlib.sha256(told.encode()).hexdigest()}"'
    if has_it_already(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers={"ETag": etag})
    packed = open_packed(resources.artefacts, dataset)
    originals = None
    if dataset.originals_digest is not None:
        files = fetch_originals(resources.artefacts, dataset)
        originals = Originals(files.content, files.index, files.shared)
    headers = {"Content-Disposition": f'attachment; filename="{dataset.id}.zip"', "ETag": etag}
    return StreamingResponse(zipped(packed, originals, left_out), headers=headers, media_type=_ZIP)


def _asked(
    samples: str | None, reasons: str | None, ids: str | None, budget: float | None, cell: int | None
) -> Exclusion | None:
    """What is to be left out; None for nothing."""
    given = {"samples": samples, "budget": budget, "cell": cell}
    document: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if reasons is not None:
        document["reasons"] = [name.strip() for name in reasons.split(",")]
    if ids is not None:
        document["ids"] = [int(one) if one.strip().isdecimal() else one for one in ids.split(",")]
    if not document:
        return None
    if samples is None and ids is None:
        field = next(iter(document))
        raise InvalidInput(
            "is given, and no experiment says what it means", field=field, remedy="Give exclude=<experiment>."
        )
    try:
        return Exclusion.model_validate(document)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("query", *one["loc"])} for one in error.errors()]) from error


def _left_out(resources: Resources, reference: str, asked: Exclusion | None) -> tuple[Dataset, list[int]]:
    try:
        with resources.sessions.reading() as session:
            dataset = usable_dataset(session, datasets.get(session, reference).id, "reference")
            if asked is None:
                return dataset, []
            return dataset, Selecting(session, resources.artefacts).places(asked, dataset).tolist()
    except TableWanted as wanted:
        ask_for(resources.sessions, resources.wakeups, wanted)
        raise
    except InvalidSpec as error:
        raise InvalidSpec([_of_query(one) for one in error.errors]) from error


def _of_query(error: FieldError) -> FieldError:
    """The field by its name in the query."""
    field = error.field.removeprefix("exclude.")
    return FieldError("exclude" if field == "samples" else field, error.message, error.remedy)
