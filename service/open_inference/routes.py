"""The protocol's routes of the server, and inference. A model is called by its id or an alias, in the version in memory."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from noisegate import __version__
from noisegate.store.settings import Settings
from service import health
from service.bodies import JSON
from service.classify.models import Classifiers, Loaded
from service.deps import CallerDep, ClassifiersDep, ResourcesDep, SettingsDep
from service.open_inference.bodies import HEADER_LENGTH, OCTETS, SentBody, body_of
from service.open_inference.inference import inferred
from service.open_inference.model_routes import found
from service.open_inference.reading import FILES, IMAGES, read
from service.open_inference.refusals import refusals
from service.open_inference.schemas import (
    InferRequest,
    InferResponse,
    Name,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Version,
)

# A thread costs more than reading what is below.
_SMALL_BYTES = 64 * 1024


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """A JSON schema without references, which would point nowhere from within an OpenAPI document."""
    match node:
        case {"$ref": str(reference)}:
            return _inlined(definitions[reference.rpartition("/")[2]], definitions)
        case dict():
            return {name: _inlined(value, definitions) for name, value in node.items() if name != "$defs"}
        case list():
            return [_inlined(value, definitions) for value in node]
        case _:
            return node


_SCHEMA = InferRequest.model_json_schema()
# A PNG of one pixel: an example that every model answers.
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNISUkBAAJcAS1bGyRYAAAAAElFTkSuQmCC"
_EXAMPLE = {"id": "1", "inputs": [{"name": IMAGES, "shape": [1], "datatype": FILES, "data": [_PNG]}]}
_BODY: dict[str, Any] = {"schema": _inlined(_SCHEMA, _SCHEMA["$defs"]), "example": _EXAMPLE}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_LENGTH: dict[str, Any] = {
    "name": HEADER_LENGTH,
    "in": "header",
    "required": False,
    "description": "Bytes of the JSON before binary tensors, in requests and answers; 0: the body is the pixels alone.",
    "schema": {"type": "integer", "minimum": 0},
}
_INFER: dict[str, Any] = {
    "response_model": InferResponse,
    "responses": refusals(400, 404, 413, 415, 422) | {200: {"content": {OCTETS: _BINARY}}},
    "openapi_extra": {
        "requestBody": {"required": True, "content": {JSON: _BODY, OCTETS: _BINARY}},
        "parameters": [_LENGTH],
    },
}

router = APIRouter(tags=["open inference protocol"])


@router.get("/v2", responses=refusals())
@router.get("/v2/", include_in_schema=False)  # The protocol's text has the one, its OpenAPI document the other.
async def get_server_metadata() -> ServerMetadata:
    """Which server this is."""
    return ServerMetadata(version=__version__)


@router.get("/v2/health/live", responses=refusals())
async def get_server_live() -> ServerLive:
    """200 as long as the process answers at all."""
    return ServerLive()


@router.get("/v2/health/ready", responses={503: {"model": ServerReady, "description": "Not ready"}})
async def get_server_ready(resources: ResourcesDep, response: Response) -> ServerReady:
    """200 when /readyz answers 200, which also says what is missing."""
    return ServerReady(ready=(await health.get_readiness(resources, response)).ready)


@router.post("/v2/models/{name}/infer", **_INFER)
async def infer(
    request: Request, name: Name, classifiers: ClassifiersDep, caller: CallerDep, settings: SettingsDep
) -> Response:
    """Decisions on images, pixels or files, as /classify makes them. Tensors are JSON, or lie behind it in binary."""
    body = await body_of(request, classifiers, settings.max_tensor_bytes)
    return await _answer(classifiers, await found(classifiers, caller, name), name, body, settings)


@router.post("/v2/models/{name}/versions/{version}/infer", **_INFER)
async def infer_by_version(
    request: Request,
    name: Name,
    version: Version,
    classifiers: ClassifiersDep,
    caller: CallerDep,
    settings: SettingsDep,
) -> Response:
    """Decisions on images, if the model is of this version."""
    body = await body_of(request, classifiers, settings.max_tensor_bytes)
    return await _answer(classifiers, await found(classifiers, caller, name, version), name, body, settings)


async def _answer(classifiers: Classifiers, loaded: Loaded, name: str, body: SentBody, settings: Settings) -> Response:
    reading = partial(read, body, loaded.classifier.manifest.image_size, settings.max_batch_images)
    sent = reading() if len(body.document) <= _SMALL_BYTES else await classifiers.compute(reading)
    answer, behind = await inferred(classifiers, loaded, name, sent, settings.max_tensor_values)
    # Written here: FastAPI would validate once more what has just been made.
    document = answer.model_dump_json(exclude_none=True).encode()
    if not any(tensor.parameters for tensor in answer.outputs):
        return Response(document, media_type=JSON)
    return Response(b"".join([document, *behind]), headers={HEADER_LENGTH: str(len(document))}, media_type=OCTETS)
