"""Pictures, registered models that look at them, and connections that send these."""

import http.client
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from prometheus_client import REGISTRY

from noisegate.inference.classifier import Classifier
from noisegate.manifest import Calibration, ModelManifest
from noisegate.rejection import SCORES
from noisegate.rejection.reference import Reference
from noisegate.rejection.scores import KnownLogits, TrainingAnswers, softmax
from noisegate.store import executions, models, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.models import ModelDigests
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.factories import claim_one, manifest, outcome, spec
from tests.service.factories import IMAGE_SIZE

Pixels = npt.NDArray[np.uint8]

LEVELS = 21


def pictures(count: int, seed: int) -> list[Pixels]:
    """Noise of every contrast, no two alike."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 256, (count, IMAGE_SIZE, IMAGE_SIZE, 3))
    contrast = generator.uniform(0.05, 1, (count, 1, 1, 1))
    return list((127 + (noise - 127) * contrast).astype(np.uint8))


def encoded(pixels: Pixels, kind: str = "PNG") -> bytes:
    """An image file; of the kinds there are, PNG and lossless WEBP give the pixels back."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def reference_of(onnx: bytes, described: ModelManifest, seed: int = 0, remembered: int = 200) -> Reference:
    """What a holdout of 60 random pictures and so many others would leave of this model."""
    classifier = Classifier(onnx, described)
    logits, features = classifier.logits(np.stack(pictures(60, seed)))
    other_logits, other_features = classifier.logits(np.stack(pictures(remembered, seed + 1)))
    known = len(described.classes)
    probabilities = softmax(logits)[:, :known]
    training = TrainingAnswers(other_logits[:, :known], other_features, np.arange(remembered) % known)
    fitted = {name: scorer.fit(training) for name, scorer in SCORES.items()}
    values = {
        name: scorer.unknownness(scorer.value(KnownLogits(logits[:, :known]), features, fitted[name]))
        for name, scorer in SCORES.items()
    }
    levels = np.linspace(0, 1, LEVELS)
    labels = np.arange(60) % known
    order = np.lexsort((1 - probabilities[np.arange(60), labels], labels))
    return Reference(
        quantiles={name: np.quantile(column, levels, method="inverted_cdf") for name, column in values.items()},
        nonconformity=(1 - probabilities[np.arange(60), labels])[order],
        class_counts=np.bincount(labels, minlength=known).astype(np.int64),
        reject_scores=np.sort(1 - probabilities.max(axis=1)),
        fitted={name: arrays for name, arrays in fitted.items() if arrays},
    )


def stored_model(
    sessions: Sessions, artefacts: Artefacts, onnx: bytes, reference: Reference | None = None, **changes: Any
) -> tuple[str, Classifier]:
    """An experiment on `pets` with this one model; answers its id, and the same model apart from all service.

    The first one becomes `default`. `changes` are the manifest's.
    """
    wanted = spec("pets", executions=1, sweep={}, noise={"family": "uniform"})
    with sessions.begin() as session:
        planning.create(session, planning.plan(session, wanted, Settings().caps))
    with sessions.begin() as session:
        execution, lease = claim_one(session)
        described = manifest(execution).model_copy(update={"calibration": _calibration(), **changes})
        digests = ModelDigests(
            artefacts.put_bytes(f"weights of {execution.id}".encode()),
            artefacts.put_bytes(described.model_dump_json().encode()),
            artefacts.put_bytes(onnx),
            artefacts.put_bytes(reference.to_bytes()) if reference else None,
        )
        models.register(session, execution.id, digests, described, keep="best")
        executions.record_success(session, lease, outcome())
        id = models.best_by_cell(session, execution.experiment_id)[execution.cell_id].id
    return id, Classifier(onnx, described, reference)


def _calibration() -> Calibration:
    return Calibration(samples=60, quantiles=np.linspace(0, 0.9, LEVELS).tolist(), temperature=1.5)


def measured(name: str, **labels: str) -> float:
    """A metric of this process, 0 before its first sample."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@dataclass(frozen=True)
class Sent:
    """An answer over a socket."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Peer:
    """One connection that is kept open."""

    def __init__(self, port: int, *, timeout: float = 300) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def send(self, method: str, path: str, body: bytes = b"", content_type: str = "image/png") -> Sent:
        self.connection.request(method, path, body, {"Content-Type": content_type} if body else {})
        answer = self.connection.getresponse()
        return Sent(answer.status, answer.headers, answer.read())

    def classify(self, image: bytes, query: str = "", content_type: str = "image/png") -> Sent:
        return self.send("POST", f"/classify{query}", image, content_type)

    @property
    def local_port(self) -> int:
        return int(self.connection.sock.getsockname()[1])


@contextmanager
def peer(port: int, *, timeout: float = 300) -> Iterator[Peer]:
    opened = Peer(port, timeout=timeout)
    try:
        yield opened
    finally:
        opened.connection.close()


def form_of(files: Sequence[tuple[str, bytes]], field: str = "images") -> tuple[bytes, str]:
    """A multipart body of these (file name, content) in one field, and its Content-Type."""
    boundary = "line-between-two-files"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
