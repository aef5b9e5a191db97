"""Home: what runs and waits, who works, which model answers, what came out last; and a way through for the first time."""

from dataclasses import dataclass

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from noisegate.errors import NotFound
from noisegate.store import datasets, experiments, models, workers
from noisegate.store.json_columns import Unreadable
from noisegate.store.models import DEFAULT_ALIAS
from noisegate.store.states import DatasetState, State
from noisegate.store.tables import Dataset, Model
from service.experiments.reading import read
from service.experiments.schemas import ExperimentRead
from service.models.schemas import ModelRead
from service.pages.frame import Frame, FrameDep
from service.pages.summaries import Best, best_cells
from service.workers.schemas import WorkerRead

_SHOWN = 6

router = APIRouter(prefix="/ui", include_in_schema=False)


@dataclass(frozen=True)
class Now:
    """What goes on at this moment, and who does it."""

    under_way: list[ExperimentRead]
    workers: list[WorkerRead]
    ingesting: list[Dataset]

    @property
    def alive(self) -> int:
        return sum(worker.alive for worker in self.workers)

    @property
    def images_per_second(self) -> float:
        return sum(worker.images_per_second for worker in self.workers)


@router.get("")
def home(frame: FrameDep) -> Response:
    """The first page."""
    with frame.sessions.reading() as session:
        now = _now(session, frame)
        found = experiments.page(session, state=None, cursor=None, limit=_SHOWN).items
        recent = read(session, found)
        best: dict[str, Best] = best_cells(session, [row for row in recent if row.state is State.SUCCEEDED])
        uploads = [row for row in datasets.page(session, cursor=None, limit=20).items if row.source == "upload"]
        return frame.page(
            "home.html", now=now, recent=recent, best=best, default=_default(session), has_uploads=bool(uploads)
        )


@router.get("/now")
def home_now(frame: FrameDep) -> Response:
    """The part of the first page that changes by itself."""
    with frame.sessions.reading() as session:
        return frame.page("home_now.html", now=_now(session, frame))


def _now(session: Session, frame: Frame) -> Now:
    lease_seconds = frame.resources.settings.lease_seconds
    rows = [
        row
        for state in (State.RUNNING, State.CANCELLING, State.QUEUED)
        for row in experiments.page(session, state=state, cursor=None, limit=_SHOWN).items
    ]
    waiting = [
        row for row in datasets.page(session, cursor=None, limit=20).items if row.state is DatasetState.INGESTING
    ]
    seen = [WorkerRead.of(found, lease_seconds) for found in workers.seen(session)]
    return Now(read(session, rows), seen, waiting)


def _default(session: Session) -> ModelRead | None:
    try:
        model: Model = models.get(session, DEFAULT_ALIAS)
    except NotFound:
        return None
    if isinstance(model.manifest, Unreadable):
        return None
    return ModelRead.of(model, models.aliases(session, [model.id]))
