"""The usual fields of an experiment as a form: kinds, bounds and words from the spec's own JSON schema."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import JsonValue

from noisegate.networks import NETWORKS
from noisegate.networks.backbones import EMBEDDED
from noisegate.noise import FAMILIES, UniformNoise
from noisegate.spec import PaperRecipe, TrainingExperiment


@dataclass(frozen=True)
class Option:
    """A value that can be chosen, as JSON."""

    value: str
    text: str


@dataclass(frozen=True)
class FormField:
    """One field: its path in the spec, and what the schema says of it."""

    path: str
    label: str
    kind: str
    description: str
    least: float | None
    most: float | None
    usual: str
    options: Sequence[Option] = ()

    @property
    def id(self) -> str:
        """For HTML, where a dot means something else in a selector."""
        return "field-" + self.path.replace(".", "-")


_LABELS = {
    "name": "Name",
    "executions": "Executions of each cell",
    "seed": "Seed",
    "network": "Network",
    "image_size": "Pixels a side",
    "training.epochs": "Epochs",
    "training.batch_size": "Batch size",
    "training.learning_rate": "Learning rate",
    "noise.family": "Noise",
    "noise.quantity": "Noise images per training image",
    "holdout": "Holdout",
    "keep_models": "Models to keep",
    "promote": "Move the alias default",
}


@lru_cache(maxsize=1)
def usual_fields() -> list[FormField]:
    """In the order of the form. The dataset has a field of its own, which knows what datasets there are."""
    spec, recipe = _properties(TrainingExperiment), _properties(PaperRecipe)
    noise = _properties(UniformNoise)
    fields = {
        **{path: spec[path] for path in _LABELS if "." not in path},
        **{path: recipe[path.removeprefix("training.")] for path in _LABELS if path.startswith("training.")},
        "noise.quantity": noise["quantity"],
        "noise.family": {"type": "string", "enum": [name for name in FAMILIES if name not in ("images", "mixture")]},
    }
    return [_field(path, fields[path]) for path in _LABELS]


def _properties(model: type[Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    return found


def _field(path: str, schema: dict[str, Any]) -> FormField:
    options = _networks() if path == "network" else [_option(value) for value in schema.get("enum", ())]
    default = schema.get("default")
    return FormField(
        path=path,
        label=_LABELS[path],
        kind="choice" if options else schema["type"],
        description=schema.get("description", ""),
        least=schema.get("minimum", schema.get("exclusiveMinimum")),
        most=schema.get("maximum", schema.get("exclusiveMaximum")),
        usual="" if default in (None, "") else _shown(default),
        options=options,
    )


def _networks() -> list[Option]:
    return [*map(_option, NETWORKS), Option(json.dumps({"backbone": EMBEDDED}), f"backbone {EMBEDDED}")]


def _option(value: JsonValue) -> Option:
    return Option(json.dumps(value), _shown(value).replace("_", " "))


def _shown(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)
