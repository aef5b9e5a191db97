"""Noisegate's recipes on the drawn photographs, in this process: from files to a trained model, one core."""

import json
import time
from dataclasses import replace
from typing import Any

from noisegate.evaluation.executions import run_executions
from noisegate.learning.cells import CellFeatures, PreparedCell, prepare_cell
from noisegate.learning.encoding import make_encoder
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.networks.backbones.loading import load
from noisegate.spec import TrainingExperiment
from own_images_parts.photographs import HOLDOUT, SEED, Photographs
from own_images_parts.scikit import logistic_regression


def recipe_runs(shown: Photographs, backbone: str, size: int, training: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Accuracies of seeds, and processor seconds.

    `preparing_seconds` are of what is done once: decoding, loading the backbone, and what it computes of training images and of
    held-out ones. What it computes of the test images counts nowhere: the tutorial's tests do not either.
    """
    spec = _spec(backbone, size, training)
    started = time.process_time()
    cell, of_tests = _prepared(shown, spec)
    preparing, runs = time.process_time() - started - of_tests, []
    for seed in range(seeds):
        runs.append(_run(cell, seed))
        print(training["recipe"], json.dumps(runs[-1]), flush=True)
    found = {"training": spec.training.model_dump(mode="json"), "preparing_core_seconds": preparing, "runs": runs}
    if not spec.training.tunes_backbone:
        found["scikit_learn"] = logistic_regression(cell.inputs, cell.labels, cell.test_inputs, cell.test_labels)
    print(training["recipe"], json.dumps(found), flush=True)
    return found


def _run(cell: PreparedCell, seed: int) -> dict[str, Any]:
    started = time.process_time()
    ((outcome,),) = run_executions(cell, [seed], between_batches=lambda: None, on_epoch=lambda _: None)
    assert isinstance(outcome, ExecutionOutcome), "training diverged"
    return {
        "seed": seed,
        "accuracy": outcome.metrics.accuracy,
        "holdout_accuracy": outcome.holdout_accuracy,
        "epochs": len(outcome.trained.losses),
        "core_seconds": time.process_time() - started,
    }


def _spec(backbone: str, size: int, training: dict[str, Any]) -> TrainingExperiment:
    document = {"dataset": "photographs", "network": {"backbone": backbone}, "image_size": size, "training": training}
    return TrainingExperiment.model_validate({**document, "holdout": HOLDOUT, "seed": SEED})


def _prepared(shown: Photographs, spec: TrainingExperiment) -> tuple[PreparedCell, float]:
    """What executions share; and the seconds that only the test images took."""
    network = spec.network
    assert not isinstance(network, str)
    loaded = load(network.facts, None, None)
    cut = network.facts.cut
    encoder = make_encoder(loaded, spec.image_size, cut.upto if spec.training.tunes_backbone and cut else None)
    data = shown.decoded(spec.image_size)
    train = encoder(data.train_images)
    flipped = encoder.mirrored(data.train_images) if spec.training.augmentation else None
    started = time.process_time()
    test = encoder(data.test_images)
    testing = time.process_time() - started
    return prepare_cell(spec, replace(data, features=CellFeatures(train, test, encoder, flipped)), 0), testing
