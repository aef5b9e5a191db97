"""Datasets and models with files behind them, entered through the store's own functions, and bodies to send."""

import dataclasses
import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from noisegate.api.card import Card
from noisegate.judgement import Judgement
from noisegate.manifest import Calibration, ModelManifest
from noisegate.regularisation import Regularisation
from noisegate.store import datasets, executions, ingestions, models, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.models import ModelDigests
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Dataset
from tests.factories import claim_one, manifest, outcome, packed, spec

IMAGE_SIZE = 32
TRAIN_COUNT = 100
TEST_COUNT = 20


def array_bytes(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def dataset_images(number: int) -> np.ndarray[Any, Any]:
    shape = (TRAIN_COUNT + TEST_COUNT, IMAGE_SIZE, IMAGE_SIZE, 3)
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def dataset_labels() -> np.ndarray[Any, Any]:
    return np.arange(TRAIN_COUNT + TEST_COUNT) % 2


def ready_dataset(
    session: Session, artefacts: Artefacts, name: str = "pets", *, number: int = 1, classes: Sequence[str] = ()
) -> Dataset:
    """100 training and 20 test images of two classes in turn."""
    found = dataclasses.replace(
        packed(number, TRAIN_COUNT),
        images_digest=artefacts.put_bytes(array_bytes(dataset_images(number))),
        labels_digest=artefacts.put_bytes(array_bytes(dataset_labels())),
        originals_digest=None,
        originals_index_digest=None,
        originals_bytes=None,
    )
    if classes:
        found = dataclasses.replace(found, classes=list(classes))
    waiting = datasets.register(
        session, name=name, source="upload", image_size=IMAGE_SIZE, upload_digest=f"{number:064x}"
    ).dataset
    claimed = ingestions.claim(session, waiting.id, owner="factory", lease_seconds=30)
    assert claimed is not None
    return ingestions.record_ready(session, claimed[1], found)


def onnx_bytes(logits: Sequence[float], image_size: int = IMAGE_SIZE) -> bytes:
    """A model that gives these logits whatever the image; its features are the mean colours."""
    constants: dict[str, np.ndarray[Any, Any]] = {
        "weights": np.zeros((3, len(logits)), np.float32),
        "bias": np.array(logits, np.float32),
        "axes": np.array([1, 2], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["features"], keepdims=0),
            helper.make_node("Gemm", ["features", "weights", "bias"], ["logits"]),
        ],
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", image_size, image_size, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(logits)]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def served_model(
    sessions: Sessions,
    artefacts: Artefacts,
    *,
    logits: Sequence[float] = (0.0, 5.0),
    holdout_accuracy: float | None = 0.7,
    dataset: str = "pets",
    card: Card | None = None,
    reference: bytes | None = None,
    judged: Judgement | None = None,
    calibration: Calibration | None = None,
    regularisation: Regularisation | None = None,
) -> str:
    """An experiment with one model that always gives these logits: cat, dog and, if there are three, noise.

    The first such model becomes `default`, if it has a holdout.
    """
    noise = {"family": "uniform"} if len(logits) == 3 else None
    wanted = spec(dataset, executions=1, sweep={}, noise=noise)
    with sessions.begin() as session:
        planning.create(session, planning.plan(session, wanted, Settings().caps))
    with sessions.begin() as session:
        execution, lease = claim_one(session)
        described: ModelManifest = manifest(execution, holdout_accuracy, judged)
        if calibration:
            described = described.model_copy(update={"calibration": calibration})
        described = described.model_copy(update={"regularisation": regularisation})
        files = ModelDigests(
            artefacts.put_bytes(f"weights of {execution.id}".encode()),
            artefacts.put_bytes(described.model_dump_json().encode()),
            artefacts.put_bytes(onnx_bytes(logits)),
            artefacts.put_bytes(reference) if reference else None,
        )
        models.register(session, execution.id, files, described, keep="best", card=card)
        executions.record_success(session, lease, outcome(holdout_accuracy=holdout_accuracy, judged=judged))
        return models.best_by_cell(session, execution.experiment_id)[execution.cell_id].id


def png_bytes(image_size: int = IMAGE_SIZE, colour: int = 100) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (image_size, image_size), (colour, colour, colour)).save(file, "PNG")
    return file.getvalue()


def zip_bytes(colour: int = 100) -> bytes:
    """An archive of two classes with one image each; other colours are other archives."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("cat", "dog"):
            archive.writestr(zipfile.ZipInfo(f"train/{name}/1.png"), png_bytes(8, colour))
    return file.getvalue()


def post_experiment(client: TestClient, sessions: Sessions, artefacts: Artefacts, wanted: dict[str, Any]) -> str:
    """The id of an experiment posted over HTTP, on the ready dataset `pets`, which is made for it."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    id: str = client.post("/experiments", json=wanted).json()["id"]
    return id
