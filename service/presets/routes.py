"""The paper's tables and figures, to be read; POST /experiments takes them by name."""

from fastapi import APIRouter

from noisegate.presets import catalogue
from service.errors import problems
from service.presets.schemas import PresetList, PresetSummary, PresetWhole

router = APIRouter(prefix="/presets", tags=["presets"])


@router.get("")
def list_presets() -> PresetList:
    """All presets. Post one by {"preset": "figure-9", "scale": "quick"}, with any field of the spec to differ."""
    return PresetList(items=[PresetSummary.of(catalogue.get(name)) for name in catalogue.names()])


@router.get("/{name}", responses=problems(404, 422))
def get_preset(name: str) -> PresetWhole:
    """One preset: its spec at every scale, and what is published for its cells."""
    return PresetWhole.of(catalogue.get(name))
