"""The protocol's routes. A model is called by its id or an alias; only the version in memory is there to be asked for."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from noisegate import __version__
from noisegate.errors import NotFound
from noisegate.store.settings import Settings
from service import health
from service.access import Caller
from service.bodies import JSON
from service.classify.models import Classifiers, Loaded
from service.deps import CallerDep, ClassifiersDep, ResourcesDep, SettingsDep
from service.errors import ModelUnusable
from service.open_inference.inference import inferred
from service.open_inference.outputs import input_metadata, output_metadata, outputs_of
from service.open_inference.reading import FILES, IMAGES, body_of, read
from service.open_inference.refusals import ProtocolRoute, refusals
from service.open_inference.schemas import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
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
_INFER: dict[str, Any] = {
    "response_model": InferResponse,
    "responses": refusals(400, 404, 413, 415, 422),
    "openapi_extra": {"requestBody": {"required": True, "content": {JSON: _BODY}}},
}
_REFUSALS = refusals(404, 422)
_READY: dict[str, Any] = {
    "response_model_exclude_none": True,
    # Beside the problem that is there when the database is away.
    "responses": _REFUSALS | {503: _REFUSALS[503] | {"model": ModelReady, "description": "Not ready"}},
}

router = APIRouter(tags=["open inference protocol"], route_class=ProtocolRoute)


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


@router.get("/v2/models/{name}", responses=_REFUSALS)
async def get_model_metadata(
    name: Name, classifiers: ClassifiersDep, caller: CallerDep, settings: SettingsDep
) -> ModelMetadata:
    """What a model takes and gives. Its input also takes image files; the names of its classes stand in parameters."""
    return _metadata(await _found(classifiers, caller, name), name, settings)


@router.get("/v2/models/{name}/versions/{version}", responses=_REFUSALS)
async def get_model_version_metadata(
    name: Name, version: Version, classifiers: ClassifiersDep, caller: CallerDep, settings: SettingsDep
) -> ModelMetadata:
    """What a model takes and gives, if it is of this version."""
    return _metadata(await _found(classifiers, caller, name, version), name, settings)


@router.get("/v2/models/{name}/ready", **_READY)
async def get_model_ready(name: Name, classifiers: ClassifiersDep, caller: CallerDep, response: Response) -> ModelReady:
    """200 when the model is in memory, where this puts it, and has answered once."""
    return await _ready(response, classifiers, caller, name)


@router.get("/v2/models/{name}/versions/{version}/ready", **_READY)
async def get_model_version_ready(
    name: Name, version: Version, classifiers: ClassifiersDep, caller: CallerDep, response: Response
) -> ModelReady:
    """200 when the model is of this version, in memory, and has answered once."""
    return await _ready(response, classifiers, caller, name, version)


@router.post("/v2/models/{name}/infer", **_INFER)
async def infer(
    request: Request, name: Name, classifiers: ClassifiersDep, caller: CallerDep, settings: SettingsDep
) -> Response:
    """Decisions on images, pixels or files, as /classify makes them. Tensors are JSON: tritonclient's `binary_data=False`."""
    body = await body_of(request)
    return await _answer(classifiers, await _found(classifiers, caller, name), name, body, settings)


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
    body = await body_of(request)
    return await _answer(classifiers, await _found(classifiers, caller, name, version), name, body, settings)


async def _found(classifiers: Classifiers, caller: Caller, name: str, version: str | None = None) -> Loaded:
    loaded = await classifiers.find(name, caller)
    if version not in (None, loaded.version):
        remedy = f"Ask for {loaded.version}, or for none."
        raise NotFound(f"model {name!r} has no version {version!r}", field="version", remedy=remedy)
    return loaded


async def _ready(
    response: Response, classifiers: Classifiers, caller: Caller, name: str, version: str | None = None
) -> ModelReady:
    try:
        await _found(classifiers, caller, name, version)
    except ModelUnusable as error:
        response.status_code = 503
        return ModelReady(name=name, ready=False, error=error.detail)
    return ModelReady(name=name, ready=True)


def _metadata(loaded: Loaded, name: str, settings: Settings) -> ModelMetadata:
    manifest = loaded.classifier.manifest
    return ModelMetadata(
        name=name,
        versions=[loaded.version],
        platform=f"{settings.runtime}_onnx",
        inputs=[input_metadata(manifest)],
        outputs=[output_metadata(name, output) for name, output in outputs_of(manifest).items()],
    )


async def _answer(classifiers: Classifiers, loaded: Loaded, name: str, body: bytes, settings: Settings) -> Response:
    reading = partial(read, body, loaded.classifier.manifest.image_size, settings.max_batch_images)
    sent = reading() if len(body) <= _SMALL_BYTES else await classifiers.compute(reading)
    answer = await inferred(classifiers, loaded, name, sent, settings.max_tensor_values)
    # Written here: FastAPI would validate once more what has just been made.
    return Response(answer.model_dump_json(exclude_none=True), media_type=JSON)
