"""A decision against that on the same image alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from noisegate.inference.classifier import Classifier
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.rejection.decision import DEFAULT_OPTIONS, DecisionOptions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from tests.service.factories import IMAGE_SIZE, ready_dataset
from tests.service.traffic import Pixels, Sent, encoded, pictures, stored_model

# Measured on an AMD EPYC (AVX2), ONNX Runtime 1.32, NumPy 2, n = 1 … 32: logits, features and all that follows from them
# are the same to the last bit, except for the kNN distance, which is off by up to 5e-7, as BLAS multiplies one row in another
# order than many. With AVX-512 ViM's virtual logit, a difference of squares, is off by up to 1.2e-5. Other processors may sum in
# another order elsewhere too; another image's answer is off by 1e-2 and more.
TOLERANCE = 3e-5


def assert_same(found: Any, expected: Any, where: str = "decision") -> None:
    """Equal names in the same order, texts and truths; numbers within the tolerance."""
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for name, value in expected.items():
            assert_same(found[name], value, f"{where}.{name}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=TOLERANCE, rel=TOLERANCE), where
    else:
        assert found == expected, where


def expected_of(classifier: Classifier, image: Pixels, options: DecisionOptions = DEFAULT_OPTIONS) -> dict[str, Any]:
    """The decision on this image alone; of the classes only the most probable, if so asked."""
    (decision,) = classifier.classify(image[np.newaxis], options.max_false_reject)
    document = decision.model_dump()
    if options.top_k is None:
        return document
    order = sorted(document["probabilities"], key=document["probabilities"].__getitem__, reverse=True)[: options.top_k]
    for holder, name in (
        (document, "probabilities"),
        (document["temperature_scaled"], "probabilities"),
        (document["conformal"], "classes"),
    ):
        holder[name] = {label: holder[name][label] for label in order}
    return document


Expected = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Models:
    """Registered models, the first of them `default`, image files, and what each model says of each file."""

    ids: list[str]
    files: list[bytes]
    expected: Expected

    def check(self, answer: Sent, number: int) -> str:
        """The id of the model that gave this answer on a file; fails unless it is that model's answer on that file."""
        assert answer.status == 200, answer.body
        document = answer.document
        model: str = document["model"]["id"]
        expected = self.expected[model][number]
        assert_same({name: document[name] for name in expected}, expected)
        return model


def enter_models(sessions: Sessions, artefacts: Artefacts, graphs: Sequence[bytes]) -> Models:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    files = [encoded(picture, kind) for picture in pictures(20, 1) for kind in ("PNG", "JPEG")]
    stored = [stored_model(sessions, artefacts, graph) for graph in graphs]
    return Models([id for id, _ in stored], files, {id: _answers(alone, files) for id, alone in stored})


def _answers(alone: Classifier, files: Sequence[bytes]) -> list[dict[str, Any]]:
    return [expected_of(alone, decode_image(file, IMAGE_SIZE, ImageLimits())) for file in files]
