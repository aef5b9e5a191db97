"""Classify: drop images, see what a model makes of them and why; try what another budget would reject."""

from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.errors import NotFound
from noisegate.rejection import SCORES
from noisegate.store import datasets, models
from noisegate.store.artefacts import Artefacts
from noisegate.store.json_columns import Unreadable, readable
from noisegate.store.keys import Scope
from noisegate.store.models import DEFAULT_ALIAS
from noisegate.store.packed import open_packed
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset, Experiment, Model
from service.models.schemas import ModelRead
from service.pages.frame import FrameDep

_MODELS, _SAMPLES = 100, 10

router = APIRouter(prefix="/ui/classify", include_in_schema=False)

ModelName = Annotated[str, Query(min_length=1, max_length=200)]


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen: by an alias where it has one."""

    reference: str
    text: str


@dataclass(frozen=True)
class Samples:
    """Test images of the dataset that a model was trained on, to try it with."""

    dataset: str
    name: str
    images: list[tuple[int, str]]


@router.get("")
def classify_page(frame: FrameDep, model: ModelName = DEFAULT_ALIAS) -> Response:
    """The page; without a model it says how to come by one."""
    may_read = frame.caller.may(Scope.READ)
    with frame.sessions.reading() as session:
        try:
            row: Model | None = models.get(session, model)
        except NotFound:
            if model != DEFAULT_ALIAS:
                raise
            row = None
        choices = _choices(session) if may_read else []
        shown = _shown(session, row) if row else None
        dataset = _dataset(session, row) if row and may_read else None
    samples = _samples(frame.resources.artefacts, dataset) if dataset else None
    return frame.page(
        "classify.html",
        reference=model,
        model=shown,
        choices=choices,
        samples=samples,
        may_read=may_read,
        rule=_in_words(shown.rule) if shown else None,
        scores=[REJECT_SCORE, *SCORES],
        most_images=frame.resources.settings.max_batch_images,
        most_bytes=frame.resources.settings.max_batch_bytes,
    )


def _shown(session: Session, row: Model) -> ModelRead:
    readable(row.manifest)
    return ModelRead.of(row, models.aliases(session, [row.id]))


def _choices(session: Session) -> list[Choice]:
    by_name = [Choice(alias.name, f"{alias.name} ({alias.model_id})") for alias in models.aliases(session)]
    page = models.page(session, experiment_id=None, cursor=None, limit=_MODELS)
    by_id = [
        Choice(row.id, f"{row.id}: {row.manifest.network}, {len(row.manifest.classes)} classes")
        for row in page.items
        if not isinstance(row.manifest, Unreadable)
    ]
    return by_name + by_id


def _dataset(session: Session, row: Model) -> Dataset | None:
    dataset_id = session.scalar(sa.select(Experiment.dataset_id).where(Experiment.id == row.experiment_id))
    dataset = datasets.get(session, dataset_id) if dataset_id else None
    return dataset if dataset and dataset.state is DatasetState.READY and dataset.test_count else None


def _samples(artefacts: Artefacts, dataset: Dataset) -> Samples:
    packed = open_packed(artefacts, dataset)
    total = dataset.test_count or 0
    count = min(_SAMPLES, total)
    places = [number * total // count for number in range(count)]
    labels = packed.labels[packed.train_count :]
    return Samples(dataset.id, dataset.name, [(place, packed.classes[labels[place]]) for place in places])


def _in_words(rule: DecisionRule | None) -> str:
    return " and ".join(rule.names) if rule else REJECT_SCORE
