"""GET /noise/preview.png: what a noise spec looks like, before training on it."""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Response

from noisegate.errors import Conflict, NotReady
from noisegate.inference.decoding import resize_pixels
from noisegate.store import datasets
from noisegate.store.artefacts import Artefacts
from noisegate.store.packed import open_packed
from noisegate.store.sessions import Sessions
from noisegate.store.states import DatasetState
from service.deps import ArtefactsDep, SessionsDep
from service.errors import problems
from service.noise.schemas import PreviewQuery
from service.noise.sheet import SheetLayout, draw_sheet, plan_sheet
from service.schemas import POLL_SECONDS

# How many training images patches are cut from: a few more than stand in a row.
TRAINING_IMAGES = 40

_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sheet: a labelled row for each spec, for each group of a mixture, for each structured kind",
        "content": {"image/png": {"schema": _BINARY}},
        "headers": {
            "Cache-Control": {"description": "How long it may be kept.", **_TEXT},
        },
    },
    **problems(404, 409, 422),
}

router = APIRouter(tags=["noise"])


@router.get("/noise/preview.png", response_class=Response, responses=_RESPONSES)
def get_preview(
    query: Annotated[PreviewQuery, Query()],
    sessions: SessionsDep,
    artefacts: ArtefactsDep,
) -> Response:
    """A sheet of noise images; the same query gives the same picture.

    Give `noise` as JSON, or `family` and its fields, as in `?family=gaussian&std=30`; nothing shows every family.
    """
    sheet = plan_sheet(query.noises(), SheetLayout(query.image_size, query.columns))
    training_images = _training_images(query, sessions, artefacts) if sheet.needs_training_images else None
    picture = draw_sheet(sheet, query.seed, training_images)
    # A dataset's name may come to mean another dataset; everything else follows from the query alone.
    keep = "public, max-age=3600" if training_images is None else "no-cache"
    return Response(picture, headers={"Cache-Control": keep}, media_type="image/png")


def _training_images(query: PreviewQuery, sessions: Sessions, artefacts: Artefacts) -> npt.NDArray[np.uint8]:
    with sessions.reading() as session:
        dataset = datasets.get(session, query.dataset)
    match dataset.state:
        case DatasetState.INGESTING:
            detail = f"dataset {dataset.name!r} is still being ingested"
            raise NotReady(detail, retry_after_seconds=int(POLL_SECONDS), field="dataset")
        case DatasetState.FAILED:
            remedy = "Name a dataset that is ready; GET /datasets lists them."
            raise Conflict(f"dataset {dataset.name!r} could not be ingested", field="dataset", remedy=remedy)
    packed = open_packed(artefacts, dataset)
    some = packed.images[: min(packed.train_count, TRAINING_IMAGES)]
    return np.stack([resize_pixels(image, query.image_size) for image in some])
