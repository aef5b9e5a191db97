"""Runs and models in MLflow: `pip install noisegate[mlflow]`.

A model is logged from code, beside its graph and what decides: nothing is pickled.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
from mlflow.entities import Metric, Param, RunTag
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

from noisegate.api.model_answers import DecisionRuleAnswer, ModelAnswer
from noisegate.client import Noisegate
from noisegate.client.errors import ClientError
from noisegate.client.exports.recorded import Recorded, milliseconds, recorded
from noisegate.client.exports.served import REJECT_SCORE, SCORES

_SERVED = Path(__file__).with_name("served.py")
_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
# What one request to a tracking server takes.
_METRICS, _PARAMS = 1000, 100
_LONGEST_PARAM = 6000
# The budget of false rejections where a request names none: noisegate.manifest has it, and what that loads.
_DEFAULT_BUDGET = 0.05
# Scores that compare with training images, which reference.safetensors has.
_REMEMBERING = {"knn", "mahalanobis", "vim"}


@dataclass(frozen=True)
class Exported:
    """A run that was written; `is_new` is false of one that an earlier export has written."""

    run: str
    name: str
    is_new: bool


def export_mlflow(client: Noisegate, experiment: str, tracking_uri: str, *, models: bool = True) -> Iterator[Exported]:
    """A run for each execution that has ended: params, final metrics, losses by epoch, and its model if that was kept.

    Executions that were exported before are found by their id and left as they are.
    """
    mlflow.set_tracking_uri(tracking_uri)
    found = client.experiments.get(experiment)
    name = f"noisegate/{found.id}"
    to = mlflow.MlflowClient()
    known = to.get_experiment_by_name(name)
    id = known.experiment_id if known else to.create_experiment(name, tags={"mlflow.note.content": found.name})
    kept = {(one.cell, one.execution): one for one in client.models.list(experiment=found.id)} if models else {}
    for one in recorded(client, found):
        query = f"tags.`noisegate.execution` = '{one.execution.id}' and attributes.status != 'RUNNING'"
        if before := to.search_runs([id], query, max_results=1):
            yield Exported(before[0].info.run_id, one.name, is_new=False)
            continue
        tags = {
            "noisegate.experiment": found.id,
            "noisegate.execution": one.execution.id,
            "noisegate.state": one.execution.state,
        }
        run = to.create_run(id, milliseconds(one.execution.started_at), tags, one.name).info.run_id
        _log(to, run, one)
        if model := kept.get((one.execution.cell, one.execution.execution)):
            _log_model(client, run, model)
        to.set_terminated(run, _STATUS[one.execution.state], milliseconds(one.execution.finished_at))
        yield Exported(run, one.name, is_new=True)


def _log(to: Any, run: str, one: Recorded) -> None:
    moment = milliseconds(one.execution.finished_at) or 0
    metrics = [
        Metric(name, value, moment, epoch)
        for name, values in one.curves.items()
        for epoch, value in enumerate(values, start=1)
        if value is not None
    ]
    metrics += [Metric(name, value, moment, 0) for name, value in one.metrics.items()]
    params = [Param(name, value[:_LONGEST_PARAM]) for name, value in one.params.items()]
    for start in range(0, len(metrics), _METRICS):
        to.log_batch(run, metrics=metrics[start : start + _METRICS])
    for start in range(0, len(params), _PARAMS):
        to.log_batch(run, params=params[start : start + _PARAMS])
    if one.execution.versions:
        to.log_batch(run, tags=[RunTag(f"version.{name}", value) for name, value in one.execution.versions.items()])


def _log_model(client: Noisegate, run: str, model: ModelAnswer) -> None:
    decision = _decision(client, model)
    with tempfile.TemporaryDirectory(prefix="noisegate-mlflow-") as folder, mlflow.start_run(run_id=run):
        graph, told = Path(folder, "model.onnx"), Path(folder, "decision.json")
        graph.write_bytes(client.models.file(model.id, "model.onnx"))
        told.write_text(json.dumps(decision, ensure_ascii=False, indent=1), encoding="utf-8")
        artifacts = {"onnx": str(graph), "decision": str(told)}
        if _REMEMBERING & {one["score"] for one in decision["scores"]}:
            kept = Path(folder, "reference.safetensors")
            kept.write_bytes(client.models.file(model.id, "reference.safetensors"))
            artifacts["reference"] = str(kept)
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_SERVED),
            artifacts=artifacts,
            signature=signature(model, decision),
            metadata={"noisegate.model": model.id, "decision": decision},
            pip_requirements=["mlflow", "numpy", "onnxruntime", "pandas", "safetensors"],
        )
        mlflow.onnx.log_model(onnx.load(str(graph)), name="onnx", metadata=decision, pip_requirements=["onnxruntime"])


def signature(model: ModelAnswer, decision: Mapping[str, Any]) -> ModelSignature:
    """What a model takes and gives."""
    size = model.image_size
    columns = [("string", "label"), ("string", "known_label"), ("double", "reject_score"), ("double", "threshold")]
    others = [one["score"] for one in decision["scores"] if one["score"] != REJECT_SCORE]
    columns += [("double", f"{what}_{name}") for name in others for what in ("score", "threshold")]
    columns += [("double", "noise_probability"), ("boolean", "rejected"), ("string", "reason")]
    columns += [("double", f"p_{name}") for name in model.classes]
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, size, size, 3))]),
        outputs=Schema([ColSpec(kind, name) for kind, name in columns]),
        params=ParamSchema([ParamSpec("threshold", "double", None)]),
    )


def _decision(client: Noisegate, model: ModelAnswer) -> dict[str, Any]:
    """What decides beside the graph: the rule that is set on the service now, at its default budget.

    Raises:
        ClientError: the rule has a score that `served.py` does not compute.
    """
    rule = client.models.decision(model.id).rule
    scores = _by_reject_score(model) if rule is None else list(_by_rule(client, model, rule))
    words = [f"{one['score']} is {_worse(one['score'])} than {one['threshold']:.6g}" for one in scores]
    noise = ["noise is the most probable class"] if model.has_noise_class else []
    return {
        "model": model.id,
        "classes": model.classes,
        "has_noise_class": model.has_noise_class,
        "scores": scores,
        "image_size": model.image_size,
        "decides": f"rejected if {' or '.join(noise + words)}" if noise or words else "rejects nothing",
    }


def _by_reject_score(model: ModelAnswer) -> list[dict[str, Any]]:
    if model.default_threshold is None:
        return []
    return [{"score": REJECT_SCORE, "threshold": model.default_threshold, "reason": "low_confidence"}]


def _by_rule(client: Noisegate, model: ModelAnswer, rule: DecisionRuleAnswer) -> Iterator[dict[str, Any]]:
    points = client.models.coverage(model.id).points
    # The smallest budget that can be promised is the first: the default one is the next that is no smaller.
    bounds = next(one.thresholds for one in points if one.max_false_reject >= _DEFAULT_BUDGET)
    for one in rule.scores:
        if one.score not in SCORES:
            raise ClientError(
                f"{model.id} decides by {one.score}, which this version cannot write: take a newer one, or --no-models."
            )
        yield {"score": one.score, "threshold": bounds[one.score], "reason": one.reason or SCORES[one.score][2]}


def _worse(score: str) -> str:
    return "higher" if SCORES[score][1] else "lower"
