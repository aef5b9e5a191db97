"""Preparing a model's constants, and computing whole batches, changes no bit of a decision: 10,000 images of each kind of model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from pydantic_core import to_json

from noisegate.api.found import DecisionFound, Found
from noisegate.decision_rule import DecisionRule
from noisegate.manifest import ModelManifest
from noisegate.rejection import SCORES
from noisegate.rejection.decision import Decider, DecisionOptions
from noisegate.rejection.reference import HeldOut, Reference
from noisegate.rejection.scores import KnownLogits, TrainingAnswers, softmax
from tests.rejection.manifests import manifest
from tests.rejection.plain_decisions import PlainDecisions

IMAGES, WIDTH = 10_000, 16
# Of batches as they come: single images, some, and full ones.
BATCHES = (1, 2, 3, 7, 16, 32)
CLASSES = [f"class {number}" for number in range(7)]

RULES = [None, DecisionRule.of("knn"), DecisionRule.of("entropy", "reject_score"), DecisionRule.of("reject_score")]
QUERIES = [
    DecisionOptions(),
    DecisionOptions(0.3),
    DecisionOptions(1.0),
    DecisionOptions(None, 3),
    DecisionOptions(0.5, 99),
]


def answers(generator: np.random.Generator, count: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of all sizes, ties among them, and features, some of which are all 0; float32, as networks give them."""
    scale = generator.choice([0.01, 1.0, 5.0, 60.0, 800.0], (count, 1))
    logits = generator.normal(0, 1, (count, outputs)) * scale
    whole = generator.random(count) < 0.2
    logits[whole] = np.rint(logits[whole])
    features = np.maximum(0, generator.normal(0, 1, (count, WIDTH))) * (generator.random((count, 1)) > 0.05)
    return logits.astype(np.float32), features.astype(np.float32)


def made_reference(generator: np.random.Generator, outputs: int, scores: Sequence[str], held: bool) -> Reference:
    """What 300 held-out images would have left."""
    labels = np.sort(generator.integers(0, len(CLASSES), 300))
    logits, features = answers(generator, len(labels), outputs)
    known, probabilities = KnownLogits(logits[:, : len(CLASSES)]), softmax(logits)
    training = TrainingAnswers(known.rows, features, labels)
    fitted = {name: SCORES[name].fit(training) for name in scores}
    unknownness = {name: SCORES[name].unknownness(SCORES[name].value(known, features, fitted[name])) for name in scores}
    own = [np.sort(1 - probabilities[labels == place, place]) for place in range(len(CLASSES))]
    rejects = 1 - probabilities[:, : len(CLASSES)].max(axis=1)
    of_each = HeldOut({"reject_score": rejects, **unknownness}, probabilities.argmax(axis=1) >= len(CLASSES))
    return Reference(
        quantiles={name: np.quantile(values, np.linspace(0, 1, 1001)) for name, values in unknownness.items()},
        nonconformity=np.concatenate(own),
        class_counts=np.array([len(one) for one in own]),
        reject_scores=np.sort(rejects),
        fitted=fitted,
        held=of_each if held else None,
    )


def kinds() -> dict[str, tuple[ModelManifest, Reference | None]]:
    """Every kind of model: with noise or not, with a holdout, cross-validated or neither, made before this or that was kept."""
    generator = np.random.default_rng(22)
    levels = np.sort(generator.random(1001)).tolist()
    whole = manifest(CLASSES, quantiles=levels, temperature=1.7, samples=300, called_noise=4)
    assert whole.calibration
    folds = whole.calibration.model_copy(update={"source": "cross_validated"})
    few = whole.calibration.model_copy(update={"samples": 12, "called_noise": 2})
    without = ("msp", "max_logit", "energy", "entropy", "knn")
    return {
        "whole": (whole, made_reference(generator, 8, list(SCORES), True)),
        "few held-out images": (whole.model_copy(update={"calibration": few}), made_reference(generator, 8, list(SCORES), True)),
        "cross-validated": (whole.model_copy(update={"calibration": folds}), made_reference(generator, 8, list(SCORES), True)),
        "without noise": (
            manifest(CLASSES, has_noise_class=False, quantiles=levels, temperature=0.4),
            made_reference(generator, 7, list(SCORES), True),
        ),
        "before rules and temperatures": (
            manifest(CLASSES, quantiles=levels),
            made_reference(generator, 8, without, False),
        ),
        "before references": (manifest(CLASSES, quantiles=levels, temperature=2.0), None),
        "without a holdout": (manifest(CLASSES), None),
        "without noise or holdout": (manifest(CLASSES, has_noise_class=False), None),
    }  # fmt: skip


KINDS = kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_decisions_are_the_same_bit_by_bit(kind: str) -> None:
    model, reference = KINDS[kind]
    generator = np.random.default_rng(len(kind))
    logits, features = answers(generator, IMAGES, len(model.outputs))
    rules = RULES if reference and reference.held else [None]
    queries = [
        one for one in QUERIES if one.max_false_reject is None or "few" not in kind or one.max_false_reject > 0.4
    ]
    drawn = zip(generator.integers(0, len(queries), IMAGES), generator.integers(0, len(rules), IMAGES), strict=True)
    options = [replace(queries[query], rule=rules[rule]) for query, rule in drawn]
    decider, plain, start = Decider(model, reference), PlainDecisions(model, reference), 0
    while start < IMAGES:
        part = slice(start, start + int(generator.choice(BATCHES)))
        asked = (logits[part], features[part], options[part])
        expected = [decision.model_dump_json() for decision in plain.decide(*asked)]
        assert [to_json(found).decode() for found in decider.find(*asked)] == expected
        start = part.stop


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beside_whole_ones", [False, True])
def test_brief_answers_say_what_whole_ones_say(kind: str, beside_whole_ones: bool) -> None:
    """By batches of brief answers alone, and by batches that whole ones are in, too."""
    model, reference = KINDS[kind]
    generator = np.random.default_rng(len(kind))
    logits, features = answers(generator, IMAGES, len(model.outputs))
    rules = RULES if reference and reference.held else [None]
    options = [DecisionOptions(rule=rules[place]) for place in generator.integers(0, len(rules), IMAGES)]
    decider, start, compared = Decider(model, reference), 0, 0
    while start < IMAGES:
        part = slice(start, start + int(generator.choice(BATCHES)))
        whole = decider.find(logits[part], features[part], options[part])
        asked = [replace(one, brief=not (beside_whole_ones and place % 3)) for place, one in enumerate(options[part])]
        found = decider.find(logits[part], features[part], asked)
        for one, of_whole, wanted in zip(found, whole, asked, strict=True):
            assert one == (brief_of(of_whole) if wanted.brief else of_whole)
            compared += wanted.brief
        start = part.stop
    assert compared > IMAGES / 3


def brief_of(whole: Found) -> Found:
    """What of a whole answer a brief one repeats."""
    decision = cast(DecisionFound, whole)
    label, noise = decision["label"], decision["noise_probability"]
    probability = decision["probabilities"].get(label, noise)
    assert probability is not None
    return {
        "label": label,
        "probability": probability,
        "rejected": decision["rejected"],
        "reason": decision["reason"],
        "probabilities": list(decision["probabilities"].values()),
        "noise_probability": noise,
        "reject_score": decision["reject_score"],
        "threshold": decision["threshold"],
        "max_false_reject": decision["max_false_reject"],
    }


def test_documents_are_those_of_the_python_objects() -> None:
    model, reference = KINDS["whole"]
    logits, features = answers(np.random.default_rng(1), 4, len(model.outputs))
    options = [DecisionOptions(rule=rule, top_k=2) for rule in RULES]
    decider = Decider(model, reference)
    decisions = decider.decide(logits, features, options)
    found = decider.find(logits, features, options)
    assert [decision.model_dump_json() for decision in decisions] == [to_json(one).decode() for one in found]
