"""The presets by name, and what becomes of a request that names one.

`expand` is the way from a body such as {"preset": "figure-9", "scale": "quick", "dataset": "mine"} to a spec. What lies
higher wins: the fields of the body, then what was chosen for the dataset, then the fields of the scale, then those that all scales
share. `training` is merged field by field as long as the recipe stays the same, any other field is taken whole.

A preset with choices needs to know the dataset: `expand` checks the body against all of them, and `choose` takes one.
"""

import copy
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, JsonValue

from noisegate.documents import Document
from noisegate.errors import FieldError, InvalidSpec, NotFound
from noisegate.presets.choices import Choice, Option, agreeing_with, take
from noisegate.presets.published import PublishedRow, PublishedValues, read_rows, values_for
from noisegate.spec import DatasetFacts, ExperimentSpec, parse_spec

Scale = Literal["paper", "quick", "smoke"]
SCALES: tuple[Scale, ...] = get_args(Scale)
DEFAULT_SCALE: Scale = "quick"

# In the order of the list in PAPER.md; what goes beyond the paper comes last.
_NAMES = (
    "baseline",
    "figure-9",
    "figure-10",
    "figure-11",
    "figure-12",
    "solid-colour",
    "gray",
    "uniform-127-50",
    "mixed-gaussian",
    "table-2",
    "table-3",
    "table-3-gaussian",
    "figure-5",
    "figure-6",
    "figure-13",
    "table-2-features",
    "table-3-features",
    "open-set-6-4",
    "open-set-6-4-drawn",
    "open-set-plus-10",
    "open-set-plus-50",
    "value-report",
    "value-ablation",
    "recommended",
)
_PUBLISHED_NOTE = (
    "The published values come from CIFAR-10 itself, 40 epochs and 50 executions a cell; Pc is that of the last execution only. "
    "A JPEG-recompressed copy of CIFAR-10 gives about 1 point less accuracy by the same recipe, fewer epochs or another "
    "dataset something else again: compare differences between cells, not the values."
)


class Scales(Document):
    """What each scale adds to the spec that all share."""

    paper: dict[str, JsonValue] = Field(description="As the paper did it: 50 executions, 40 epochs.")
    quick: dict[str, JsonValue] = Field(description="Few executions, 12 epochs.")
    smoke: dict[str, JsonValue] = Field(description="Seconds, on the bundled digits: to see that it works.")


class Preset(Document):
    """A table or figure of the paper, ready to be posted at three scales."""

    name: str
    title: str
    source: str = Field(description="Where it stands in the paper.")
    description: str = Field(description="What is varied, what to look for, and what to beware of.")
    published_note: str = Field(
        _PUBLISHED_NOTE, description="What separates the published values from what is measured here."
    )
    spec: dict[str, JsonValue] = Field(description="What all scales share.")
    scales: Scales
    choices: list[Option] = Field(
        default_factory=list, description="What it chooses from by facts of the dataset; at scale smoke nothing."
    )
    published: list[PublishedRow] = Field(default_factory=list)

    def spec_document(self, scale: Scale) -> dict[str, Any]:
        """The spec at a scale, as JSON; the caller's own copy."""
        return _merged(_merged({"name": f"{self.title} ({scale})"}, self.spec), getattr(self.scales, scale))

    def spec_at(self, scale: Scale) -> ExperimentSpec:
        """The spec at a scale, before anything is chosen."""
        return parse_spec(self.spec_document(scale))

    def options_at(self, scale: Scale) -> list[Option]:
        """What it chooses from at a scale. Smoke is what it is: seconds on the digits."""
        return [] if scale == "smoke" else self.choices

    def spec_of(self, option: Option, scale: Scale) -> ExperimentSpec:
        """The spec at a scale with an option, before its noise is fitted to a dataset."""
        return parse_spec(_merged(self.spec_document(scale), option.spec))


class Expanded(Document):
    """What a request that names a preset asks for."""

    spec: ExperimentSpec
    preset: str
    scale: Scale
    choice: Choice | None = None


def names() -> tuple[str, ...]:
    """The names of all presets, in the paper's order."""
    return _NAMES


def get(name: str) -> Preset:
    """A preset by its name.

    Raises:
        NotFound: there is none; the remedy lists those there are.
    """
    if name not in _NAMES:
        raise NotFound(f"there is no preset {name!r}", field="preset", remedy=_listed(_NAMES))
    return _load(name)


def expand(document: Mapping[str, Any]) -> Expanded:
    """The spec that a body with `preset`, perhaps `scale`, and any fields of the spec stands for.

    Of a preset that chooses by the dataset it is that of one of its options, for what holds of all of them: `choose` is due.

    Raises:
        InvalidSpec: an unknown preset or scale, a field without effect because the preset sweeps it, or a wrong field.
    """
    preset, scale, fields = _parts(document)
    below = preset.spec_document(scale)
    if "sweep" not in fields:
        _refuse_swept(fields, below.get("sweep", {}))
    if options := preset.options_at(scale):
        spec = _first_valid([_merged(_merged(below, option.spec), fields) for option in agreeing_with(options, fields)])
    else:
        spec = parse_spec(_merged(below, fields))
    return Expanded(spec=spec, preset=preset.name, scale=scale)


def chooses(document: object) -> bool:
    """Whether a body that `expand` takes names a preset that chooses by the dataset."""
    if not isinstance(document, Mapping) or "preset" not in document:
        return False
    preset, scale, _ = _parts(document)
    return bool(preset.options_at(scale))


def choose(document: Mapping[str, Any], facts: DatasetFacts) -> Expanded:
    """The spec that such a body stands for on a dataset, and what was chosen.

    Raises:
        InvalidSpec: a field does not go with what was chosen.
    """
    preset, scale, fields = _parts(document)
    taken = take(preset.options_at(scale), fields, facts)
    merged = _merged(_merged(preset.spec_document(scale), taken.option.spec_for(facts)), fields)
    return Expanded(spec=parse_spec(merged), preset=preset.name, scale=scale, choice=taken.choice)


def _parts(document: Mapping[str, Any]) -> tuple[Preset, Scale, dict[str, Any]]:
    """The preset, the scale, and the fields of the spec."""
    preset = _preset_of(document.get("preset"))
    scale = _scale_of(document.get("scale", DEFAULT_SCALE))
    return preset, scale, {field: value for field, value in document.items() if field not in ("preset", "scale")}


def _first_valid(documents: list[dict[str, Any]]) -> ExperimentSpec:
    """The spec of the first document that is one; what is wrong with all of them is told of the first."""
    refusals = []
    for document in documents:
        try:
            return parse_spec(document)
        except InvalidSpec as error:
            refusals.append(error)
    raise refusals[0]


def published_for(preset: str, cell_spec: ExperimentSpec) -> PublishedValues | None:
    """What is printed for a cell of an experiment from this preset, given the cell's spec; None if nothing is.

    Noise and subgroup decide; dataset, epochs and whatever else may differ, which `published_note` tells.
    """
    return values_for(get(preset).published, cell_spec)


@lru_cache(maxsize=len(_NAMES))
def _load(name: str) -> Preset:
    folder = resources.files("noisegate.presets")
    document = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    table = folder / f"{name}.csv"
    rows = read_rows(table.read_text(encoding="utf-8").splitlines()) if table.is_file() else []
    return Preset.model_validate(document | {"published": rows})


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**below, **above}
    trainings = [below.get("training"), above.get("training")]
    if all(isinstance(training, Mapping) for training in trainings) and _same_recipe(below, above):
        merged["training"] = {**below["training"], **above["training"]}
    return copy.deepcopy(merged)


def _same_recipe(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Whether the training above is by the recipe of the one below: another recipe has other fields."""
    recipe = below["training"].get("recipe", "paper")
    return bool(above["training"].get("recipe", recipe) == recipe)


def _preset_of(name: object) -> Preset:
    try:
        return get(str(name))
    except NotFound as error:
        raise InvalidSpec(error.errors) from error


def _scale_of(scale: object) -> Scale:
    for known in SCALES:
        if scale == known:
            return known
    raise InvalidSpec([FieldError("scale", f"there is no scale {scale!r}", _listed(SCALES))])


def _refuse_swept(fields: Mapping[str, Any], sweep: Mapping[str, Any]) -> None:
    remedy = "Give `sweep` too: {} for a single cell."
    swept = [
        FieldError(field, "is swept by this preset, which would override it", remedy)
        for field in fields
        if field in sweep
    ]
    if swept:
        raise InvalidSpec(swept)


def _listed(known: tuple[str, ...]) -> str:
    return f"There are: {', '.join(known)}."
