"""GET /workers: who trains, on what, and how fast."""

from fastapi import APIRouter

from noisegate.store import workers
from service.deps import SessionsDep, SettingsDep
from service.workers.schemas import WorkerList, WorkerRead

router = APIRouter(tags=["workers"])


@router.get("/workers")
def list_workers(sessions: SessionsDep, settings: SettingsDep) -> WorkerList:
    """All workers by name, those too that ended without a word within the last hour."""
    with sessions.reading() as session:
        seen = workers.seen(session)
        return WorkerList(items=[WorkerRead.of(found, settings.lease_seconds) for found in seen])
