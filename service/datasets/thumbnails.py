"""GET /datasets/{reference}/images/{split}/{index}/thumbnail.jpg: an image of a dataset as it was sent, small."""

import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from PIL import Image

from noisegate.data.limits import image_limits
from noisegate.data.originals import Originals
from noisegate.errors import NotFound
from noisegate.inference.decoding import open_image
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
    size: Annotated[int, Query(ge=SMALLEST, le=LARGEST, description="Pixels of the square that it is put in.")] = USUAL,
) -> Response:
    """An image as it was sent, in a square; of a dataset without originals as it was packed."""
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


def _thumbnail(dataset: Dataset, artefacts: Artefacts, settings: Settings, place: int, size: int) -> bytes:
    if dataset.originals_digest is None:
        # Not enlarged: what has been stretched to a few pixels is to look like it.
        pixels = open_packed(artefacts, dataset).images[place]
    else:
        files = fetch_originals(artefacts, dataset)
        original = open_image(Originals(files.content, files.index, files.shared).read(place), image_limits(settings))
        pixels = original.pixels(min(size, max(original.width, original.height)), Fitting("pad", decoding="scaled"))
    picture = Image.fromarray(pixels)
    picture.thumbnail((size, size))
    file = io.BytesIO()
    tiny = max(picture.size) <= _TINY
    picture.save(file, "JPEG", quality=95 if tiny else 85, subsampling=0 if tiny else 2)
    return file.getvalue()
