"""A new experiment: from a preset, from one that is there, or from nothing; with a plan that follows what is typed."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from noisegate.noise import NoiseFamily
from noisegate.presets import catalogue
from noisegate.presets.catalogue import DEFAULT_SCALE, SCALES, Preset, Scale
from noisegate.spec.sweeps import cells_of
from noisegate.store import datasets, experiments
from noisegate.store.json_columns import readable
from noisegate.store.states import DatasetState
from service.datasets.registration import DIGITS
from service.pages.frame import FrameDep
from service.pages.spec_form import usual_fields

_DATASETS = 100
# More points would not be told apart in a picture so small.
_DOTS = 24
_WIDTH, _HEIGHT = 220, 64

router = APIRouter(prefix="/ui/experiments", include_in_schema=False)

Name = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True)
class Picture:
    """What a preset looks like: its published accuracies as dots, or its noise."""

    dots: list[tuple[float, float]]
    noise: str | None


@dataclass(frozen=True)
class PresetShown:
    """A preset as a card of the page."""

    name: str
    title: str
    source: str
    description: str
    picture: Picture


@router.get("/new")
def new_page(
    frame: FrameDep,
    preset: Name = None,
    scale: Scale | None = None,
    dataset: Name = None,
    like: Name = None,
    without: Annotated[list[int], Query(max_length=1000, description="Training images to leave out.")] = [],  # noqa: B006
) -> Response:
    """The page. Without JavaScript it shows the presets; posting takes it, or any other client."""
    with frame.sessions.reading() as session:
        document = _document(session, preset, scale, dataset, like)
        if without:
            document["exclude"] = {"ids": sorted(without)}
        rows = datasets.page(session, cursor=None, limit=_DATASETS).items
    ready = [row.name for row in rows if row.state is DatasetState.READY]
    return frame.page(
        "new_experiment.html",
        presets=presets_shown(),
        chosen=document.get("preset"),
        scales=SCALES,
        default_scale=DEFAULT_SCALE,
        datasets=ready,
        draws_noise=DIGITS in ready,
        fields=usual_fields(),
        document=json.dumps(document, indent=2, ensure_ascii=False),
        like=like,
    )


def _document(
    session: Session, preset: str | None, scale: Scale | None, dataset: str | None, like: str | None
) -> dict[str, Any]:
    """What the page begins with.

    Raises:
        NotFound: there is no such preset, dataset or experiment.
    """
    if like is not None:
        spec = readable(experiments.get(session, like).spec)
        return {"kind": spec.kind} | spec.model_dump(mode="json", exclude_defaults=True)
    name = datasets.get(session, dataset).name if dataset else None
    if preset is None and name is None:
        return {"preset": "recommended", "scale": "smoke", "dataset": DIGITS}
    chosen = {"preset": catalogue.get(preset or "recommended").name, "scale": scale or DEFAULT_SCALE}
    return chosen | ({"dataset": name} if name else {})


@lru_cache(maxsize=1)
def presets_shown() -> list[PresetShown]:
    """All presets. They never change while a process lives."""
    first = "recommended"
    names = [first, *(name for name in catalogue.names() if name != first)]
    return [
        PresetShown(found.name, found.title, found.source, found.description, _picture(found))
        for found in map(catalogue.get, names)
    ]


def _picture(preset: Preset) -> Picture:
    accuracies = [row.values.accuracy for row in preset.published if row.values.accuracy is not None][:_DOTS]
    if len(accuracies) >= 3:
        return Picture(_dots(accuracies), None)
    noises = [noise for noise in _noises(preset) if noise.image_dataset is None]
    if not noises:
        return Picture([], None)
    document = json.dumps([noise.model_dump(mode="json") for noise in noises[:2]])
    return Picture([], f"/noise/preview.png?columns=6&image_size=32&noise={quote(document)}")


def _dots(accuracies: list[float]) -> list[tuple[float, float]]:
    low, high = min(accuracies), max(accuracies)
    step, width = (_WIDTH - 16) / (len(accuracies) - 1), (high - low) or 1.0
    return [
        (round(8 + step * place, 1), round(_HEIGHT - 8 - (_HEIGHT - 16) * (value - low) / width, 1))
        for place, value in enumerate(accuracies)
    ]


def _noises(preset: Preset) -> list[NoiseFamily]:
    found: dict[str, NoiseFamily] = {}
    for cell in cells_of(preset.spec_at("smoke")):
        noise = getattr(cell.spec, "noise", None)
        for one in noise if isinstance(noise, list) else [noise] if noise else []:
            found.setdefault(one.model_dump_json(exclude={"quantity"}), one)
    return list(found.values())
