"""POST /hybrids: two images in, their hybrid and three decisions out. Async, as /classify is."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData

from noisegate.spec import HybridCutoffs
from noisegate.store.models import DEFAULT_ALIAS
from service.access import caller_of
from service.bodies import JSON, MULTIPART, content_type_of, parse_json, unsupported
from service.classify.images import from_base64, from_form
from service.classify.schemas import MaxFalseReject, ModelName, ModelReference
from service.deps import ClassifiersDep
from service.errors import problems
from service.hybrids.mixing import Pair, mix
from service.hybrids.schemas import HybridDocument, HybridRead
from service.parameters import MOST_FIELDS, check_form, query_names

_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["low", "high"],
    "properties": {"low": _BINARY, "high": _BINARY, **HybridCutoffs.model_json_schema()["properties"]},
}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {MULTIPART: {"schema": _FORM}, JSON: {"schema": HybridDocument.model_json_schema()}},
}

router = APIRouter(tags=["hybrids"])


@router.post("/hybrids", responses=problems(400, 404, 413, 415, 422), openapi_extra={"requestBody": _REQUEST_BODY})
async def mix_hybrid(
    request: Request,
    classifiers: ClassifiersDep,
    model: ModelName = DEFAULT_ALIAS,
    max_false_reject: MaxFalseReject = None,
) -> HybridRead:
    """The low frequencies of one image with the high frequencies of another, and the decisions on all three.

    From nearby the image `high` is seen, from afar or with half-closed eyes the image `low`.
    """
    pair = await _pair(request)
    loaded = await classifiers.find(model, caller_of(request.scope))
    mixed = await classifiers.compute(
        partial(mix, loaded.classifier, pair, max_false_reject, classifiers.decoder.limits)
    )
    return HybridRead(model=ModelReference.found(loaded, model), **dict(mixed))


async def _pair(request: Request) -> Pair:
    content_type = content_type_of(request)
    if content_type == MULTIPART:
        async with request.form(max_files=2, max_fields=MOST_FIELDS) as form:
            check_form(form, ["low", "high", *HybridCutoffs.model_fields], query_names(request.scope["route"]))
            return Pair(await from_form(form, "low"), await from_form(form, "high"), _cutoffs(form))
    if content_type == JSON:
        document = parse_json(await request.body(), HybridDocument)
        return Pair(from_base64(document.low, "low"), from_base64(document.high, "high"), document)
    raise unsupported(content_type, [MULTIPART, JSON])


def _cutoffs(form: FormData) -> HybridCutoffs:
    try:
        # The fields of a form are text, which is no number in JSON.
        return HybridCutoffs.model_validate(
            {name: value for name, value in form.items() if name not in ("low", "high")}, strict=False
        )
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
