"""The registry: models, their files, and the aliases that point at them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from starlette.responses import FileResponse

from noisegate.errors import InvalidInput, NotFound
from noisegate.store import deletion, files, models
from noisegate.store.json_columns import Unreadable
from noisegate.store.pages import Page
from noisegate.store.tables import Model
from service.bodies import JSON, require_json
from service.deps import ArtefactsDep, PagingDep, SessionsDep
from service.errors import problems
from service.models.schemas import AliasList, AliasRead, AliasTarget, FileName, ModelRead
from service.schemas import Collection, DeletedRead

_BINARY = "application/octet-stream"
_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

router = APIRouter(tags=["models"])

AliasName = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$", description="Not of the form mod_…, which is how ids look.")
]


@router.get("/models", responses=problems(422))
def list_models(sessions: SessionsDep, paging: PagingDep, experiment: str | None = None) -> Collection[ModelRead]:
    """Models, newest first; with `experiment` only those it trained. Those that only a newer version can read are left out."""
    with sessions.reading() as session:
        page: Page[Model] = models.page(session, experiment_id=experiment, cursor=paging.cursor, limit=paging.limit)
        readable = [model for model in page.items if not isinstance(model.manifest, Unreadable)]
        aliases = models.aliases(session, [model.id for model in readable])
        return Collection(items=[ModelRead.of(model, aliases) for model in readable], next_cursor=page.next_cursor)


@router.get("/models/{reference}", responses=problems(404, 422))
def get_model(reference: str, sessions: SessionsDep) -> ModelRead:
    """One model, by id or alias."""
    with sessions.reading() as session:
        model = models.get(session, reference)
        return ModelRead.of(model, models.aliases(session, [model.id]))


@router.delete("/models/{reference}", responses=problems(404, 409, 422))
def delete_model(reference: str, sessions: SessionsDep, artefacts: ArtefactsDep, dry_run: bool = False) -> DeletedRead:
    """Delete a model that no alias points at; the results of the execution that trained it stay.

    With `dry_run`, only say what would go.
    """
    with sessions.begin(dry_run=dry_run) as session:
        deleted = deletion.delete_model(session, reference)
    named = sorted(set(deleted.digests))
    gone = named if dry_run else files.discard(sessions, artefacts, named)
    return DeletedRead.of(deleted, files=len(gone))


@router.get(
    "/models/{reference}/files/{name}",
    response_class=FileResponse,
    responses={200: {"description": "The file", "content": {_BINARY: _FILE, JSON: {}}}, **problems(404, 422)},
)
def get_model_file(reference: str, name: FileName, sessions: SessionsDep, artefacts: ArtefactsDep) -> FileResponse:
    """A file of a model. None of them is a pickle: opening one runs no code."""
    with sessions.reading() as session:
        model = models.get(session, reference)
    digests = {
        "model.safetensors": model.weights_digest,
        "model.json": model.manifest_digest,
        "model.onnx": model.onnx_digest,
        "reference.safetensors": model.reference_digest,
    }
    digest = digests[name]
    if digest is None:
        raise NotFound(
            f"model {model.id} has no {name}: it was trained without a holdout or cross-validation", field="name"
        )
    try:
        file = artefacts.fetch(digest)
    except FileNotFoundError as error:
        # A better model of its cell took its place since the row was read, or somebody removed the file.
        detail = f"the files of model {model.id} are gone"
        raise NotFound(detail, field="model", remedy="GET /models lists models.") from error
    media_type = JSON if name == "model.json" else _BINARY
    return FileResponse(file, media_type=media_type, filename=name)


@router.get("/aliases")
def list_aliases(sessions: SessionsDep) -> AliasList:
    """All aliases by name."""
    with sessions.reading() as session:
        return AliasList(items=[AliasRead.of(alias) for alias in models.aliases(session)])


@router.put("/aliases/{name}", dependencies=[Depends(require_json)], responses=problems(400, 404, 409, 413, 415, 422))
def put_alias(name: AliasName, target: AliasTarget, sessions: SessionsDep) -> AliasRead:
    """Make a name point at a model; `default` is what /classify uses. /classify follows once it is loaded."""
    if name.startswith("mod_"):
        remedy = "Choose a name that does not begin with mod_."
        raise InvalidInput("looks like a model's id", field="name", remedy=remedy)
    with sessions.begin() as session:
        return AliasRead.of(models.point_alias(session, name, target.model))


@router.delete("/aliases/{name}", status_code=204, responses=problems(404, 422))
def delete_alias(name: AliasName, sessions: SessionsDep, dry_run: bool = False) -> None:
    """Take a name away from its model. Without `default`, /classify has to be told which model to use.

    With `dry_run`, only see whether it can be taken away.
    """
    with sessions.begin(dry_run=dry_run) as session:
        models.delete_alias(session, name)
