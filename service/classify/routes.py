"""POST /classify: one image in, one decision out. Async, so that nothing a request waits for blocks another."""

from typing import Any

from fastapi import APIRouter, Request

from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT
from noisegate.store.models import DEFAULT_ALIAS
from service.bodies import JSON, MULTIPART, content_type_of, parse_json, unsupported
from service.classify.images import from_base64, from_form, not_empty
from service.classify.schemas import Classification, ImageDocument, MaxFalseReject, ModelName, ModelReference
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
    model: ModelName = DEFAULT_ALIAS,
    max_false_reject: MaxFalseReject = DEFAULT_MAX_FALSE_REJECT,
) -> Classification:
    """Class probabilities, the noise probability, and whether to accept the image. The raw body is the fastest way in."""
    image = await _image(request)
    loaded = await classifiers.find(model)
    decision = await classifiers.classify(loaded, image, max_false_reject)
    return Classification(model=ModelReference.found(loaded.id, model), **dict(decision))


async def _image(request: Request) -> bytes:
    content_type = content_type_of(request)
    if content_type in RAW:
        return not_empty(await request.body(), "image")
    if content_type == JSON:
        return from_base64(parse_json(await request.body(), ImageDocument).image, "image")
    if content_type == MULTIPART:
        async with request.form(max_files=1, max_fields=1) as form:
            return await from_form(form, "image")
    raise unsupported(content_type, [*RAW, MULTIPART, JSON])
