"""POST /classify: one image in, one decision out. Async, so that nothing a request waits for blocks another."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from noisegate.image_kinds import IMAGE_MEDIA_TYPES
from service.access import caller_of
from service.bodies import JSON, MULTIPART, content_type_of, parse_json, unsupported, whole_body
from service.classify.images import from_base64, from_form, not_empty
from service.classify.schemas import Classification, ClassifyQuery, ImageDocument, MinimalClassification, encode
from service.deps import resources_of
from service.errors import problems
from service.parameters import MOST_FIELDS, check_form

# The kind of image is read from its bytes; these only say that the body is an image and nothing else.
RAW = (*IMAGE_MEDIA_TYPES, "application/octet-stream")

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


@router.post(
    "/classify",
    response_model=Classification | MinimalClassification,
    responses=problems(400, 404, 413, 415, 422, 429),
    openapi_extra={"requestBody": _REQUEST_BODY, "parameters": ClassifyQuery.parameters()},
)
async def classify(request: Request) -> Response:
    """Class probabilities, the noise probability, and whether to accept the image. The raw body is the fastest way in."""
    query = ClassifyQuery.of(request)
    classifiers = resources_of(request).classifiers
    image = await _image(request)
    loaded = await classifiers.find(query.model, caller_of(request.scope))
    classified = await classifiers.classify(loaded, image, query.options(loaded))
    return Response(encode(classified, loaded, query), media_type=JSON)


async def _image(request: Request) -> bytes:
    content_type = content_type_of(request)
    if content_type in RAW:
        return not_empty(await whole_body(request), "image")
    if content_type == JSON:
        return from_base64(parse_json(await whole_body(request), ImageDocument).image, "image")
    if content_type == MULTIPART:
        async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
            check_form(form, ["image"], ClassifyQuery.model_fields)
            return await from_form(form, "image")
    raise unsupported(content_type, [*RAW, MULTIPART, JSON])
