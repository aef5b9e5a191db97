"""GET /datasets/{reference}/images/{split}/{index}/thumbnail.jpg: an image of a dataset as it was sent, small."""

import io
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Path, Query, Request, Response
from PIL import Image

from noisegate.data.limits import image_limits
from noisegate.data.originals import Originals
from noisegate.errors import NotFound
from noisegate.inference.decoding import OpenedImage, open_image
from noisegate.spec.derived import Fitting
from noisegate.store import datasets
from noisegate.store.artefacts import Artefacts
from noisegate.store.packed import fetch_originals, open_packed
from noisegate.store.settings import Settings
from noisegate.store.tables import Dataset
from service.conditional import has_it_already
from service.datasets.routes import check_ready
from service.deps import ArtefactsDep, SessionsDep, SettingsDep
from service.errors import problems

SMALLEST, LARGEST, USUAL = 16, 512, 160
# Of pictures so small each pixel is looked at.
_TINY = 64
# The images of a dataset never change, and its id never means another.
_KEEP = "private, max-age=86400"

_JPEG: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

router = APIRouter(prefix="/datasets", tags=["datasets"])


@router.get(
    "/{reference}/images/{split}/{index}/thumbnail.jpg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": _JPEG}}, **problems(404, 409, 422)},
)
def get_thumbnail(
    reference: str,
    split: Literal["train", "test"],
    index: Annotated[int, Path(ge=0)],
    sessions: SessionsDep,
    artefacts: ArtefactsDep,
    settings: SettingsDep,
    request: Request,
    size: Annotated[int, Query(ge=SMALLEST, le=LARGEST, description="Pixels of its longer side at most.")] = USUAL,
) -> Response:
    """An image as it was sent, but for its size; of a dataset without originals as it was packed."""
    with sessions.reading() as session:
        dataset = datasets.get(session, reference)
    check_ready(dataset)
    place = place_of(dataset, split, index)
    etag = f'"{dataset.content_hash}-{place}-{size}"'
    headers = {"ETag": etag, "Cache-Control": _KEEP}
    if has_it_already(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(_thumbnail(dataset, artefacts, settings, place, size), headers=headers, media_type="image/jpeg")


def place_of(dataset: Dataset, split: str, index: int) -> int:
    """The place of an image among all of the dataset, training images first; raises NotFound beyond the last."""
    count = dataset.train_count if split == "train" else dataset.test_count
    if index >= (count or 0):
        raise NotFound(f"the {split} split of dataset {dataset.name!r} has {count or 0} images", field="index")
    return index if split == "train" else (dataset.train_count or 0) + index


def _whole(original: OpenedImage, size: int) -> npt.NDArray[np.uint8]:
    """The whole picture, its longer side of this size or its own: what it is padded with to a square is taken off again."""
    longer = max(original.width, original.height)
    side = min(size, longer)
    padded = original.pixels(side, Fitting("pad", decoding="scaled"))
    width, height = (max(1, round(length * side / longer)) for length in (original.width, original.height))
    left, top = (side - width) // 2, (side - height) // 2
    return padded[top : top + height, left : left + width]


def _thumbnail(dataset: Dataset, artefacts: Artefacts, settings: Settings, place: int, size: int) -> bytes:
    if dataset.originals_digest is None:
        # Not enlarged: what has been stretched to a few pixels is to look like it.
        pixels = open_packed(artefacts, dataset).images[place]
    else:
        files = fetch_originals(artefacts, dataset)
        original = open_image(Originals(files.content, files.index, files.shared).read(place), image_limits(settings))
        pixels = _whole(original, size)
    picture = Image.fromarray(pixels)
    picture.thumbnail((size, size))
    file = io.BytesIO()
    tiny = max(picture.size) <= _TINY
    picture.save(file, "JPEG", quality=95 if tiny else 85, subsampling=0 if tiny else 2)
    return file.getvalue()
