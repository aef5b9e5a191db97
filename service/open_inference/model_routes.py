"""The protocol's routes that tell of models: what there is, what they take and give, and what they have done."""

from typing import Any

from fastapi import APIRouter, Request, Response

from noisegate.errors import NotFound
from noisegate.store import models
from noisegate.store.settings import Settings
from service.access import Caller
from service.bodies import parse_json
from service.classify.models import Classifiers, Loaded
from service.deps import CallerDep, ClassifiersDep, SessionsDep, SettingsDep
from service.ending import in_a_thread
from service.errors import ModelUnusable
from service.open_inference.bodies import body_of
from service.open_inference.configuration import ModelConfiguration, configuration_of
from service.open_inference.outputs import input_metadata, output_metadata, outputs_of
from service.open_inference.refusals import refusals
from service.open_inference.schemas import (
    IndexRequest,
    ModelMetadata,
    ModelReady,
    Name,
    RepositoryModel,
    Version,
)
from service.open_inference.statistics import ModelsStatistics, statistics_of

_REFUSALS = refusals(404, 422)
_READY: dict[str, Any] = {
    "response_model_exclude_none": True,
    # Beside the problem that is there when the database is away.
    "responses": _REFUSALS | {503: _REFUSALS[503] | {"model": ModelReady, "description": "Not ready"}},
}
_INDEX: dict[str, Any] = {
    "responses": refusals(400, 413, 415, 422),
    "openapi_extra": {
        "requestBody": {"content": {"application/json": {"schema": IndexRequest.model_json_schema(), "example": {}}}}
    },
}

router = APIRouter(tags=["open inference protocol"])


@router.post("/v2/repository/index", **_INDEX)
async def get_repository_index(
    request: Request, classifiers: ClassifiersDep, sessions: SessionsDep, settings: SettingsDep
) -> list[RepositoryModel]:
    """All aliases and models. Each is ready: what is not in memory is put there by the first request for it."""
    body = await body_of(request, classifiers, settings.max_json_bytes)
    parse_json(body.document.strip() or b"{}", IndexRequest)

    def names() -> list[tuple[str, str]]:
        with sessions.reading() as session:
            return models.names(session)

    return [RepositoryModel(name=name, version=version) for name, version in await in_a_thread(names)]


@router.get("/v2/models/stats", responses=refusals())
async def get_all_statistics(classifiers: ClassifiersDep, caller: CallerDep) -> ModelsStatistics:
    """What the models in memory have done, by the names they were asked for by; an alias called `stats` is not reached here."""
    return statistics_of(classifiers.in_memory(caller))


@router.get("/v2/models/{name}", responses=_REFUSALS)
async def get_model_metadata(
    name: Name, classifiers: ClassifiersDep, caller: CallerDep, settings: SettingsDep
) -> ModelMetadata:
    """What a model takes and gives. Its input also takes image files; the names of its classes stand in parameters."""
    return _metadata(await found(classifiers, caller, name), name, settings)


@router.get("/v2/models/{name}/versions/{version}", responses=_REFUSALS)
async def get_version_metadata(
    name: Name, version: Version, classifiers: ClassifiersDep, caller: CallerDep, settings: SettingsDep
) -> ModelMetadata:
    """What a model takes and gives, if it is of this version."""
    return _metadata(await found(classifiers, caller, name, version), name, settings)


@router.get("/v2/models/{name}/config", responses=_REFUSALS)
async def get_model_config(
    name: Name, classifiers: ClassifiersDep, caller: CallerDep, settings: SettingsDep
) -> ModelConfiguration:
    """A model as Triton would be configured for it."""
    return configuration_of(await found(classifiers, caller, name), name, settings)


@router.get("/v2/models/{name}/versions/{version}/config", responses=_REFUSALS)
async def get_version_config(
    name: Name, version: Version, classifiers: ClassifiersDep, caller: CallerDep, settings: SettingsDep
) -> ModelConfiguration:
    """A model as Triton would be configured for it, if it is of this version."""
    return configuration_of(await found(classifiers, caller, name, version), name, settings)


@router.get("/v2/models/{name}/stats", responses=_REFUSALS)
async def get_model_statistics(name: Name, classifiers: ClassifiersDep, caller: CallerDep) -> ModelsStatistics:
    """What a model has done in this process since it was loaded."""
    return statistics_of({name: await found(classifiers, caller, name)})


@router.get("/v2/models/{name}/versions/{version}/stats", responses=_REFUSALS)
async def get_version_statistics(
    name: Name, version: Version, classifiers: ClassifiersDep, caller: CallerDep
) -> ModelsStatistics:
    """What a model of this version has done in this process since it was loaded."""
    return statistics_of({name: await found(classifiers, caller, name, version)})


@router.get("/v2/models/{name}/ready", **_READY)
async def get_model_ready(name: Name, classifiers: ClassifiersDep, caller: CallerDep, response: Response) -> ModelReady:
    """200 when the model is in memory, where this puts it, and has answered once."""
    return await _ready(response, classifiers, caller, name)


@router.get("/v2/models/{name}/versions/{version}/ready", **_READY)
async def get_version_ready(
    name: Name, version: Version, classifiers: ClassifiersDep, caller: CallerDep, response: Response
) -> ModelReady:
    """200 when the model is of this version, in memory, and has answered once."""
    return await _ready(response, classifiers, caller, name, version)


async def found(classifiers: Classifiers, caller: Caller, name: str, version: str | None = None) -> Loaded:
    """The model of this name.

    Raises:
        NotFound: there is none, or it is of another version.
    """
    loaded = await classifiers.find(name, caller)
    if version not in (None, loaded.version):
        remedy = f"Ask for {loaded.version}, or for none."
        raise NotFound(f"model {name!r} has no version {version!r}", field="version", remedy=remedy)
    return loaded


async def _ready(
    response: Response, classifiers: Classifiers, caller: Caller, name: str, version: str | None = None
) -> ModelReady:
    try:
        await found(classifiers, caller, name, version)
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
