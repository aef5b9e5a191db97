"""Answers of the service as its contract describes them."""

from collections.abc import Sequence

from noisegate.api.answers import ExperimentAnswer
from noisegate.api.dataset_answers import DatasetAnswer, ReportAnswer
from noisegate.api.decisions import DecisionAnswer, Family, ModelCardAnswer
from noisegate.api.result_answers import Estimate, ResultRow, ResultsAnswer

DIGITS = {"id": "ds_1", "name": "digits", "content_hash": "abc"}


def dataset(**changed: object) -> DatasetAnswer:
    sample = {
        "id": "ds_1",
        "name": "digits",
        "source": "digits",
        "state": "ready",
        "image_size": 32,
        "images_done": 1797,
        "classes": ["0", "1"],
        "counts": {"train": {"0": 700, "1": 737}, "test": {"0": 180, "1": 180}},
        "train_count": 1437,
        "test_count": 360,
        "skipped": 0,
        "content_hash": "abc",
        "licence": None,
        "originals_bytes": None,
        "views": [],
        "error": None,
        "created_at": "2026-11-22T10:00:00Z",
        "finished_at": "2026-11-22T10:00:01Z",
    }
    return DatasetAnswer.model_validate({**sample, **changed})


def report(**changed: object) -> ReportAnswer:
    sample = {
        "layout": "class folders",
        "notes": [],
        "train_count": 8,
        "test_count": 2,
        "classes": [
            {"name": "cat", "train": 4, "test": 1, "samples": ["cat/0.png"]},
            {"name": "dog", "train": 4, "test": 1, "samples": ["dog/0.png", "dog/1.png"]},
        ],
        "images": {
            "formats": {"PNG": 10},
            "width": {"least": 8, "median": 12, "most": 640},
            "height": {"least": 9, "median": 9, "most": 9},
        },
        "left_out_count": 5,
        "left_out": [{"why": "is a PDF document", "count": 5, "names": ["a.pdf", "b.pdf"]}],
    }
    return ReportAnswer.model_validate({**sample, **changed})


def experiment(**changed: object) -> ExperimentAnswer:
    sample = {
        "id": "exp_1",
        "name": "two cells",
        "state": "running",
        "dataset": DIGITS,
        "spec": {"training": {"epochs": 15}, "executions": 3},
        "cells": [
            {"cell": 0, "point": {"noise.quantity": 0}, "label": "noise.quantity=0"},
            {"cell": 1, "point": {"noise.quantity": 1}, "label": "noise.quantity=1"},
        ],
        "counts": {"queued": 3, "running": 1, "succeeded": 2, "failed": 0, "cancelled": 0},
        "executions": 6,
        "epochs": 90,
        "epochs_done": 36,
        "progress": 0.4,
        "created_at": "2026-11-22T10:00:00Z",
        "started_at": "2026-11-22T10:00:01Z",
        "finished_at": None,
        "estimated_finish": "2026-11-22T10:01:15Z",
        "error": None,
        "published": None,
    }
    return ExperimentAnswer.model_validate({**sample, **changed})


def estimate(mean: float) -> Estimate:
    return Estimate(mean=mean, std=0.0123, standard_error=0.0071, n=3)


def row(cell: int, difference: object = None, **changed: object) -> ResultRow:
    sample = {
        "cell": cell,
        "point": {"noise.quantity": cell},
        "label": f"noise.quantity={cell}",
        "has_noise_class": cell > 0,
        "executions": 3,
        "n": 3,
        "failed": 0,
        "judged": 3,
        "not_learnt": [],
        "accuracy": estimate(0.9722),
        "confidence": estimate(0.991),
        "spuriousness": estimate(0.642),
        "true_class_probability": estimate(0.213),
        "noise_per_10000": {"mean": 18.5, "std": 4.0, "standard_error": 2.3, "n": 3},
        "holdout_accuracy": estimate(0.98),
        "false_reject": estimate(0.05),
        "train_seconds": {"mean": 7.0, "std": 0.5, "standard_error": 0.3, "n": 3},
        "difference": difference,
        "best_model": f"mod_{cell}",
        "seeds": [1, 2, 3],
        "measures": {},
        "subgroup": None,
        "published": None,
        "provenance": {
            "precisions": ["float32"],
            "devices": ["cpu"],
            "versions": [{"torch": "2.15.0"}],
            "images_per_second": estimate(700),
        },
    }
    return ResultRow.model_validate({**sample, **changed})


def results(**changed: object) -> ResultsAnswer:
    difference = {
        "accuracy": 0.0031,
        "low": -0.0052,
        "high": 0.0114,
        "p_value": 0.3214,
        "sentence": "0.31 percentage points above the baseline, which chance explains well (p = 0.32).",
    }
    sample = {
        "experiment": {"id": "exp_1", "name": "two cells", "state": "succeeded"},
        "kind": "training",
        "preset": None,
        "seed": 0,
        "base": None,
        "dataset": DIGITS,
        "published": None,
        "baseline_cell": 0,
        "confidence_level": 0.95,
        "rows": [row(0), row(1, difference)],
    }
    return ResultsAnswer.model_validate({**sample, **changed})


def decision(**changed: object) -> DecisionAnswer:
    sample = {
        "label": "7",
        "known_label": "7",
        "probabilities": {"0": 0.001, "1": 0.006, "4": 0.002, "7": 0.981},
        "noise_probability": 0.01,
        "reject_score": 0.019,
        "threshold": 0.412,
        "max_false_reject": 0.05,
        "rejected": False,
        "reason": None,
        "temperature_scaled": None,
        "scores": {"msp": {"value": 0.99, "higher_means": "known", "threshold": 0.6, "rejects": False}},
        "conformal": None,
        "calibrated": True,
        "note": None,
        "model": {"id": "mod_1", "alias": "default", "version": "0" * 64},
        "timing": {"batch_size": 1, "decode_ms": 0.1, "queue_ms": 0.0, "predict_ms": 0.5},
    }
    return DecisionAnswer.model_validate({**sample, **changed})


def family(name: str, **changed: object) -> Family:
    sample = {
        "name": name,
        "title": name,
        "group": "noise",
        "trained": False,
        "images": 500,
        "auroc": 0.507,
        "scores": {"msp": 0.5},
        "rejected": 0.006,
        "rejected_as_noise": 0.0,
    }
    return Family.model_validate({**sample, **changed})


def model_card(findings: Sequence[object] = (), **changed: object) -> ModelCardAnswer:
    """The card of a model; `changed` are fields of its measurements."""
    card = {
        "test_images": 1234,
        "accuracy": 0.7272,
        "temperature": 1.1,
        "calibration_error": {"before": {"error": 0.0245, "bins": []}, "after": {"error": 0.0173, "bins": []}},
        "risk_coverage": {"aurc": 0.1021, "curve": []},
        "false_reject": [
            {"max_false_reject": 0.05, "threshold": 0.6, "rejected": 0.0491, "low": 0.045, "high": 0.0535}
        ],
        "families": [family("uniform", trained=True), family("blobs", auroc=None, rejected=None)],
        "untrained_noise": {"families": ["a", "b"], "auroc": 0.516, "scores": {}, "rejected": 0.136},
    }
    model = {
        "id": "mod_1",
        "experiment": "exp_1",
        "cell": 0,
        "execution": 0,
        "aliases": ["default"],
        "network": "paper",
        "image_size": 32,
        "classes": ["0", "1"],
        "has_noise_class": True,
        "calibrated": True,
        "default_threshold": 0.6,
        "promise": None,
        "holdout_accuracy": 0.7,
        "metrics": None,
        "dataset_hash": "abc",
        "seed": 1,
        "precision": "float32",
        "source": None,
        "versions": {},
        "onnx_largest_difference": 0.0,
        "created_at": "2026-11-22T10:00:00Z",
    }
    whole = {"model": model, "spec": {}, "findings": findings, "card": {**card, **changed}}
    return ModelCardAnswer.model_validate(whole)
