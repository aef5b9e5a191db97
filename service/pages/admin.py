"""Admin: keys, workers, disk, what could be removed, and names of models; for callers with the scope admin."""

import shutil
from dataclasses import dataclass

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from noisegate.admin import cleaning
from noisegate.store import counts, keys, models, workers
from noisegate.store.keys import Scope
from noisegate.store.tables import ApiKey, Dataset, Derived, Model, utc_now
from service.bodies import JSON, require_json
from service.errors import Forbidden
from service.models.schemas import AliasRead
from service.pages.frame import Frame, FrameDep
from service.workers.schemas import WorkerRead

_WEEK = 7 * 86_400.0
_MODELS = 100

router = APIRouter(prefix="/ui/admin", include_in_schema=False)


class WantedKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    owner: str = Field(max_length=40)
    scopes: list[Scope] = Field(min_length=1)
    days: float | None = Field(None, gt=0, le=36_500, allow_inf_nan=False)
    note: str = Field("", max_length=200)


class MadeKey(BaseModel):
    """A new key, which is told once."""

    id: str
    key: str


@dataclass(frozen=True)
class Disk:
    """The disk that artefacts lie on, and what rows say of the largest kinds of them."""

    total: int
    free: int
    originals: int
    derived: int


@router.get("")
def admin_page(frame: FrameDep) -> Response:
    """The page."""
    settings = frame.resources.settings
    with frame.sessions.reading() as session:
        rows = keys.every(session)
        seen = [WorkerRead.of(found, settings.lease_seconds) for found in workers.seen(session)]
        counted = counts.take(session, alive_seconds=settings.lease_seconds)
        aliases = [AliasRead.of(alias) for alias in models.aliases(session)]
        ids = session.scalars(sa.select(Model.id).order_by(Model.id.desc()).limit(_MODELS)).all()
        disk = _disk(session, frame)
    return frame.page(
        "admin.html",
        keys=[(row, _state(row)) for row in rows],
        scopes=list(Scope),
        keys_in_force=settings.keys_required,
        may_make_keys=frame.caller.key_id is not None,
        workers=seen,
        counts=counted,
        aliases=aliases,
        models=ids,
        disk=disk,
        settings=settings,
    )


@router.get("/gc")
def removable(frame: FrameDep) -> Response:
    """What `noisegate gc` would remove; nothing is removed."""
    settings = frame.resources.settings
    bounds = cleaning.Bounds(
        files=settings.orphan_seconds,
        scratch=settings.scratch_seconds,
        failed_datasets=_WEEK,
        derived=settings.view_seconds,
    )
    found = list(cleaning.clean(frame.sessions, frame.resources.artefacts, bounds, dry_run=True))
    return frame.page("admin_gc.html", found=found)


@router.post("/keys", status_code=201, dependencies=[Depends(require_json)])
def make_key(wanted: WantedKey, frame: FrameDep) -> Response:
    """Make a key, for a caller who has come with one: without keys, anyone who came now could keep a way in for later."""
    _require_key(frame)
    with frame.sessions.begin() as session:
        token, row = keys.create(session, owner=wanted.owner, scopes=wanted.scopes, days=wanted.days, note=wanted.note)
    return Response(MadeKey(id=row.id, key=token).model_dump_json(), 201, media_type=JSON)


@router.delete("/keys/{key_id}", status_code=204)
def revoke_key(key_id: str, frame: FrameDep) -> None:
    """Close a key for good, and with it the sessions that it opened."""
    _require_key(frame)
    with frame.sessions.begin() as session:
        keys.revoke(session, key_id)


def _require_key(frame: Frame) -> None:
    if frame.caller.key_id is None:
        remedy = "Use `noisegate keys` on the machine of the database."
        raise Forbidden("keys are managed here by callers who have come with one", remedy=remedy)


def _state(row: ApiKey) -> str:
    if row.revoked_at:
        return "revoked"
    return "expired" if row.expires_at and row.expires_at <= utc_now() else "open"


def _disk(session: Session, frame: Frame) -> Disk:
    root = frame.resources.settings.artefact_root
    usage = shutil.disk_usage(root if root.exists() else root.parent)
    originals = session.scalar(sa.select(sa.func.sum(Dataset.originals_bytes))) or 0
    derived = session.scalar(sa.select(sa.func.sum(Derived.size_bytes))) or 0
    return Disk(usage.total, usage.free, int(originals), int(derived))
