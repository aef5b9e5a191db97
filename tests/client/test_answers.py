"""The client's answers and the service's are two sets of models with one set of fields."""

import types
import typing
from typing import Any

import pytest
from pydantic import BaseModel

from noisegate.api import answers, dataset_answers, decisions, model_answers, preset_answers, result_answers
from noisegate.api.base import Answer
from service.app import create_app

# The client's model: the component of the OpenAPI document that it reads.
COMPONENTS: dict[type[Answer], str] = {
    answers.ExperimentAnswer: "ExperimentRead",
    answers.ExecutionAnswer: "ExecutionRead",
    answers.PlanAnswer: "PlanRead",
    answers.EventAnswer: "EventRead",
    result_answers.ResultsAnswer: "Results",
    result_answers.CurvesAnswer: "Curves",
    result_answers.LossAnswer: "LossCurve",
    result_answers.SampleAnswer: "SampleRead",
    result_answers.RecordedConfusionAnswer: "RecordedConfusion",
    result_answers.ConfusionsAnswer: "ConfusionRead",
    result_answers.ImageAnswer: "ImageAnswer",
    model_answers.ModelAnswer: "ModelRead",
    model_answers.AliasAnswer: "AliasRead",
    model_answers.RuleAnswer: "DecisionRead",
    model_answers.CoverageAnswer: "CoverageRead",
    answers.WorkerAnswer: "WorkerRead",
    preset_answers.PresetAnswer: "PresetSummary",
    preset_answers.PresetWholeAnswer: "PresetWhole",
    preset_answers.BackboneAnswer: "BackboneRead",
    result_answers.FigureAnswer: "FigureRead",
    answers.DeletedAnswer: "DeletedRead",
    answers.ReadinessAnswer: "Readiness",
    answers.ProblemAnswer: "Problem",
    dataset_answers.DatasetAnswer: "DatasetRead",
    dataset_answers.ReportAnswer: "DatasetReport",
    decisions.BatchLineAnswer: "BatchLine",
    decisions.MinimalAnswer: "MinimalClassification",
    decisions.ModelCardAnswer: "ModelCard",
}


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    found: dict[str, Any] = create_app().openapi()["components"]["schemas"]
    return found


@pytest.mark.parametrize("model", COMPONENTS, ids=lambda model: model.__name__)
def test_has_the_fields_that_the_service_answers(model: type[Answer], components: dict[str, Any]) -> None:
    assert list(_differences(model, {"$ref": f"#/components/schemas/{COMPONENTS[model]}"}, components, ())) == []


def _differences(
    model: type[BaseModel], schema: dict[str, Any], components: dict[str, Any], above: tuple[str, ...]
) -> typing.Iterator[str]:
    name = schema["$ref"].rpartition("/")[2]
    if name in above:
        return
    properties = components[name]["properties"]
    yield from (f"{name}.{field} is unknown to {model.__name__}" for field in properties.keys() - model.model_fields)
    yield from (f"{model.__name__}.{field} is not in {name}" for field in model.model_fields.keys() - properties)
    for field in properties.keys() & model.model_fields:
        annotation, answered = model.model_fields[field].annotation, properties[field]
        if _may_be_null(answered) and type(None) not in (*typing.get_args(annotation), annotation, Any):
            yield f"{name}.{field} may be null, which {model.__name__} does not say"
        inner, reference = _model_in(annotation), _reference_in(answered)
        if inner is not None and reference is not None:
            yield from _differences(inner, reference, components, (*above, name))


def _may_be_null(schema: dict[str, Any]) -> bool:
    return any(option.get("type") == "null" for option in schema.get("anyOf", []))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The one model in an annotation such as `list[CellAnswer] | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)


def _reference_in(schema: Any) -> dict[str, Any] | None:
    """The one reference in a schema, in whichever way it is wrapped."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return schema
        schema = [schema.get(key) for key in ("items", "additionalProperties", "anyOf", "allOf", "oneOf")]
    if isinstance(schema, list):
        return next((found for part in schema if (found := _reference_in(part))), None)
    return None
