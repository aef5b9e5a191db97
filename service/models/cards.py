"""GET /models/{id}/card: what a model can do and what it cannot, as JSON or as a page."""

import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from noisegate.api.card import CalibrationError, Card, FalseReject, FamilyResult, RiskCoverage
from noisegate.api.duplicates import CopyCounts
from noisegate.errors import NotFound
from noisegate.judgement import Finding
from noisegate.later import later
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT
from noisegate.spec import ExperimentSpec
from noisegate.store import datasets, judgements, models
from noisegate.store.json_columns import readable
from noisegate.store.tables import Experiment, Model
from service.accepting import preferred
from service.bodies import JSON
from service.deps import SessionsDep
from service.errors import problems
from service.models.schemas import ModelRead

HTML = "text/html"

reliability_uri = later("service.models.drawings:reliability_uri")
risk_coverage_uri = later("service.models.drawings:risk_coverage_uri")

GROUPS = {
    "noise": "Noise: images of nothing",
    "images": "Pictures of another kind",
    "natural_structure": "Test images, changed: they keep natural structure",
}

_drawing = threading.Lock()

router = APIRouter(tags=["models"])


class CardData(BaseModel):
    """What its dataset's report says of the images that it was trained and measured on; as of now."""

    dataset: str = Field(description="Its id.")
    name: str
    left_out: int = Field(description="Files of the upload that became no image.")
    notes: list[str] = Field(description="What was taken for what, where another reading was possible.")
    test_in_train: CopyCounts | None = Field(
        description="Test images that are training images too: what they measure is partly memory. Null if not looked for."
    )
    across_classes: CopyCounts | None = Field(
        description="Images with a copy of another class. Null if not looked for."
    )
    messages: list[str] = Field(description="All places with copies, in sentences.")


class ModelCard(BaseModel):
    """Everything there is to know of a model before it is used."""

    model: ModelRead
    spec: ExperimentSpec = Field(description="What its cell asked for.")
    findings: list[Finding] = Field(
        description="Why it has not learnt, by its own answers and beside the other executions of its cell; empty if it has, or "
        "was never judged."
    )
    data: CardData | None = Field(description="Null for datasets older than reports.")
    card: Card


@router.get(
    "/models/{reference}/card",
    response_model=ModelCard,
    responses={200: {"content": {HTML: {"schema": {"type": "string"}}}}, **problems(404, 422)},
)
def get_model_card(reference: str, sessions: SessionsDep, request: Request, response: Response) -> ModelCard | Response:
    """Accuracy, calibration, risk and coverage, false rejects at each budget, and what it makes of unknown images.

    Measured by the worker after training, on the test set and on families of images that belong to no class. JSON, or a
    page if `Accept` names text/html.
    """
    card = _read(reference, sessions)
    vary = {"Vary": "Accept"}
    if preferred(request, [JSON, HTML]) == HTML:
        return Response(page(card), headers=vary, media_type=HTML)
    response.headers.update(vary)
    return card


def _read(reference: str, sessions: SessionsDep) -> ModelCard:
    with sessions.reading() as session:
        model = models.get(session, reference)
        card = card_of(session, model)
        if card is None:
            detail = f"model {model.id} has no card: it was not trained here, or before cards were made"
            raise NotFound(
                detail, field="model", remedy="Train it anew, as its spec in GET /models/{id}/files/model.json."
            )
        return card


def card_of(session: Session, model: Model) -> ModelCard | None:
    """The card of a model; None of one that has none."""
    if model.card is None:
        return None
    return ModelCard(
        model=ModelRead.of(model, models.aliases(session, [model.id])),
        spec=model.manifest.spec,
        findings=judgements.findings_of(session, model.cell_id, model.execution_id),
        data=_data(session, model),
        card=model.card,
    )


def _data(session: Session, model: Model) -> CardData | None:
    dataset_id = session.scalar(sa.select(Experiment.dataset_id).where(Experiment.id == model.experiment_id))
    dataset = datasets.get(session, dataset_id) if dataset_id else None
    if dataset is None or dataset.report is None:
        return None
    report = readable(dataset.report)
    found = report.duplicates
    return CardData(
        dataset=dataset.id,
        name=dataset.name,
        left_out=report.left_out_count,
        notes=report.notes,
        test_in_train=found.test_in_train if found else None,
        across_classes=found.across_classes if found else None,
        messages=found.messages if found else [],
    )


def page(card: ModelCard) -> str:
    """The card as an HTML document that needs nothing else."""
    return (
        _templates()
        .get_template("card.html")
        .render(
            model=card.model,
            card=card.card,
            findings=card.findings,
            data=card.data,
            spec=card.spec.model_dump_json(indent=2, exclude_defaults=True),
            groups=list(grouped(card.card)),
            default_reject=default_reject(card.card),
            **_drawings(
                card.model.id,
                card.card.risk_coverage.model_dump_json(),
                card.card.calibration_error.model_dump_json(),
            ),
        )
    )


def default_reject(card: Card) -> FalseReject | None:
    """What is rejected at the default budget, or at the smallest that can be promised; None without a threshold."""
    return next((one for one in card.false_reject if one.max_false_reject >= DEFAULT_MAX_FALSE_REJECT), None)


@lru_cache(maxsize=256)
def _drawings(_model: str, risk_coverage: str, calibration_error: str) -> dict[str, str]:
    """Drawn once a model, and one at a time: it takes most of a second, and a card never changes."""
    with _drawing:
        return {
            "risk_coverage": risk_coverage_uri(RiskCoverage.model_validate_json(risk_coverage)),
            "reliability": reliability_uri(CalibrationError.model_validate_json(calibration_error)),
        }


def grouped(card: Card) -> Iterator[tuple[str, list[FamilyResult]]]:
    """The families of unknown images by their group, each under its heading."""
    order = list(GROUPS)
    families = sorted(card.families, key=lambda one: order.index(one.group))
    for group, members in groupby(families, key=lambda one: one.group):
        yield GROUPS[group], list(members)


@lru_cache(maxsize=1)
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("service", "models"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Any] = {"percent": _percent, "budget": _budget}
    templates.filters.update(filters)
    return templates


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}\u00a0%"


def _budget(share: float) -> str:
    """As it was asked for, 5 % being no 5.0 %."""
    return f"{100 * share:.3g}\u00a0%"
