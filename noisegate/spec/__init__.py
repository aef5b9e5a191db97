"""What may be asked for: one module a kind of experiment; pydantic alone.

One type is request body, JSON column and trainer input. A new kind is a subclass of `ExperimentBase` in a module of its own
and an entry in `KINDS`; caps, plans and answers follow. Who runs it stands in `worker.kinds`, what is drawn of it in
`service.results.figures`. A spec with a `sweep` stands for several cells; `noisegate.spec.sweeps` resolves it.
"""

from typing import Annotated

from pydantic import TypeAdapter, ValidationError

from noisegate.class_names import NOISE_CLASS
from noisegate.documents import OneOf
from noisegate.errors import InvalidSpec
from noisegate.spec.curve_fitting import CurveFittingExperiment
from noisegate.spec.decision_map import DecisionMapExperiment
from noisegate.spec.errors import field_errors
from noisegate.spec.experiment import BaseReference, ExperimentBase, Line
from noisegate.spec.facts import BaseFacts, DatasetFacts
from noisegate.spec.formats import FORMAT
from noisegate.spec.hybrids import HybridCutoffs, HybridPairs, HybridsExperiment
from noisegate.spec.open_set import DrawnClasses, OpenSetExperiment
from noisegate.spec.pretrained import PretrainedExperiment
from noisegate.spec.recipe import TrainingSpec
from noisegate.spec.recipes import LearningRateDrop, PaperRecipe
from noisegate.spec.subgroups import SubgroupSpec
from noisegate.spec.training import ClassifierExperiment, Probability, TrainingExperiment
from noisegate.spec.unknown import DeclaredUnknown, UnknownSet

KINDS: dict[str, type[ExperimentBase]] = {
    "training": TrainingExperiment,
    "hybrids": HybridsExperiment,
    "open_set": OpenSetExperiment,
    "curve_fitting": CurveFittingExperiment,
    "decision_map": DecisionMapExperiment,
    "pretrained": PretrainedExperiment,
}

ExperimentSpec = Annotated[ExperimentBase, OneOf("kind", KINDS, default="training")]

_ADAPTER: TypeAdapter[ExperimentBase] = TypeAdapter(ExperimentSpec)


def parse_spec(document: object) -> ExperimentSpec:
    """The spec in a JSON document; without a `kind`, `training` is meant.

    Raises:
        InvalidSpec: with one entry a wrong field.
    """
    try:
        return _ADAPTER.validate_python(document)
    except ValidationError as error:
        raise InvalidSpec(field_errors(error.errors())) from error


__all__ = [
    "FORMAT",
    "KINDS",
    "NOISE_CLASS",
    "BaseFacts",
    "BaseReference",
    "ClassifierExperiment",
    "CurveFittingExperiment",
    "DatasetFacts",
    "DecisionMapExperiment",
    "DeclaredUnknown",
    "DrawnClasses",
    "ExperimentBase",
    "ExperimentSpec",
    "HybridCutoffs",
    "HybridPairs",
    "HybridsExperiment",
    "LearningRateDrop",
    "Line",
    "OpenSetExperiment",
    "PaperRecipe",
    "PretrainedExperiment",
    "Probability",
    "SubgroupSpec",
    "TrainingExperiment",
    "TrainingSpec",
    "UnknownSet",
    "field_errors",
    "parse_spec",
]
