"""POST /classify: one image in, one decision out. Async, so that nothing a request waits for blocks another."""

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.datastructures import UploadFile

from noisegate.errors import InvalidImage, InvalidInput
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT
from noisegate.store.models import DEFAULT_ALIAS
from service.bodies import JSON, MULTIPART, content_type_of, parse_json, unsupported
from service.classify.schemas import Classification, ImageDocument, ModelReference
from service.deps import ClassifiersDep
from service.errors import problems

# The kind of image is read from its bytes; these only say that the body is an image and nothing else.
RAW = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")

_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM: dict[str, Any] = {"type": "object", "required": ["image"], "properties": {"image": _BINARY}}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        **{kind: {"schema": _BINARY} for kind in RAW},
        MULTIPART: {"schema": _FORM},
        JSON: {"schema": ImageDocument.model_json_schema()},
    },
}

router = APIRouter(tags=["classify"])


@router.post("/classify", responses=problems(400, 404, 413, 415, 422), openapi_extra={"requestBody": _REQUEST_BODY})
async def classify(
    request: Request,
    classifiers: ClassifiersDep,
    model: Annotated[str, Query(min_length=1, max_length=200, description="Id or alias of a model.")] = DEFAULT_ALIAS,
    max_false_reject: Annotated[
        float, Query(ge=0, le=1, allow_inf_nan=False, description="Largest share of known images rejected wrongly.")
    ] = DEFAULT_MAX_FALSE_REJECT,
) -> Classification:
    """Class probabilities, the noise probability, and whether to accept the image. The raw body is the fastest way in."""
    image = await _image(request)
    loaded = await classifiers.find(model)
    decision = await classifiers.classify(loaded, image, max_false_reject)
    reference = ModelReference(id=loaded.id, alias=model if model != loaded.id else None)
    return Classification(model=reference, **dict(decision))


async def _image(request: Request) -> bytes:
    content_type = content_type_of(request)
    if content_type in RAW:
        image = await request.body()
    elif content_type == JSON:
        image = _from_base64(parse_json(await request.body(), ImageDocument).image)
    elif content_type == MULTIPART:
        image = await _from_form(request)
    else:
        raise unsupported(content_type, [*RAW, MULTIPART, JSON])
    if not image:
        raise InvalidImage("is empty", field="image", remedy="Send the bytes of a PNG, JPEG or WEBP file.")
    return image


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        remedy = "Send standard base64, without a data: prefix or line breaks."
        raise InvalidImage(f"is not base64: {error}", field="image", remedy=remedy) from error


async def _from_form(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=1) as form:
        sent = form.get("image")
        if not isinstance(sent, UploadFile):
            raise InvalidInput("the form has no file", field="image", remedy="Send the file in the field `image`.")
        return await sent.read()
