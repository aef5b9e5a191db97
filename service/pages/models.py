"""Models: the list, and the page of one: what it can and cannot do, how it decides, and how to use it elsewhere."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from noisegate.decision_rule import REJECT_SCORE
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT
from noisegate.store import models
from noisegate.store.json_columns import Unreadable, readable
from noisegate.store.tables import Model
from service.deps import PagingDep
from service.models import cards
from service.models.decision_routes import read_decision, reference_of
from service.models.schemas import ModelRead
from service.pages.code import address_of, model_as_curl, model_as_python, model_without_service
from service.pages.frame import FrameDep
from service.pages.plots import reliability_plot, risk_coverage_plot

router = APIRouter(prefix="/ui/models", include_in_schema=False)

ExperimentFilter = Annotated[str | None, Query(max_length=200)]


@router.get("")
def list_page(frame: FrameDep, paging: PagingDep, experiment: ExperimentFilter = None) -> Response:
    """All models, newest first."""
    with frame.sessions.reading() as session:
        page = models.page(session, experiment_id=experiment, cursor=paging.cursor, limit=paging.limit)
        rows = _readable(session, page.items)
    return frame.page("models.html", rows=rows, next=page.next_cursor, experiment=experiment)


@router.get("/{reference}")
def model_page(reference: str, frame: FrameDep) -> Response:
    """One model."""
    with frame.sessions.reading() as session:
        row = models.get(session, reference)
        readable(row.manifest)
        shown = ModelRead.of(row, models.aliases(session, [row.id]))
        card = cards.card_of(session, row)
    decision = read_decision(row, reference_of(row, frame.resources.artefacts))
    address, keys = address_of(frame.request), frame.caller.key_id is not None
    return frame.page(
        "model.html",
        model=shown,
        found=card,
        groups=list(cards.grouped(card.card)) if card else [],
        default_reject=cards.default_reject(card.card) if card else None,
        risk_coverage=risk_coverage_plot(card.card.risk_coverage) if card else None,
        reliability=reliability_plot(card.card.calibration_error) if card else None,
        decision=decision,
        budget=DEFAULT_MAX_FALSE_REJECT,
        reject_score=REJECT_SCORE,
        files=_files(shown),
        spec=row.manifest.spec.model_dump_json(indent=2, exclude_defaults=True),
        curl=model_as_curl(address, shown.id, keys=keys),
        python=model_as_python(address, shown.id),
        without=model_without_service(),
    )


def _readable(session: Session, rows: Sequence[Model]) -> list[ModelRead]:
    known = [row for row in rows if not isinstance(row.manifest, Unreadable)]
    aliases = models.aliases(session, [row.id for row in known])
    return [ModelRead.of(row, aliases) for row in known]


def _files(model: ModelRead) -> dict[str, str]:
    """The SHA-256 of each file by its name."""
    found = {
        "model.onnx": model.files.onnx,
        "model.json": model.files.manifest,
        "reference.safetensors": model.files.reference,
        "model.safetensors": model.files.weights,
    }
    return {name: file.sha256 for name, file in found.items() if file}
