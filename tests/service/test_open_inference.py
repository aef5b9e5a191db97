import base64
import io
import json
import time
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from starlette.testclient import TestClient

from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.service.conftest import run_client
from tests.service.factories import onnx_bytes, served_model

PNG = {"Content-Type": "image/png"}
SIZE = 32
INFER = "/v2/models/default/infer"
Pixels = np.ndarray[Any, Any]

# More than wait at once, in an order that tells rows apart.
MANY = np.random.default_rng(5).integers(0, 256, (70, SIZE, SIZE, 3), dtype=np.uint8)
MANY[:, :, :, 0] //= np.arange(1, 71, dtype=np.uint8)[:, None, None]

# Of a model that calls much red a cat, none a dog, and what lies between noise: logits = mean colour · OF_COLOUR + BIAS.
OF_COLOUR = ((0.08, -0.1, 0.0), (0.01, 0.01, 0.01), (0.0, 0.0, 0.0))
BIAS = (0.0, 3.0, 2.5)


def png_of(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def text_of(file: bytes) -> str:
    return base64.b64encode(file).decode()


def as_pixels(images: Pixels, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "images", "shape": list(images.shape), "datatype": "UINT8", "data": images.ravel().tolist()}
    return {"inputs": [tensor | changes]}


def as_files(*files: str, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "images", "shape": [len(files)], "datatype": "BYTES", "data": list(files)}
    return {"inputs": [tensor | changes]}


def rows_of(answer: dict[str, Any]) -> dict[str, Pixels]:
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer["outputs"]}


@pytest.fixture
def colourful(model: str, sessions: Sessions, artefacts: Artefacts) -> str:
    """The id of a model with a noise class whose answer depends on the mean colour; another is `default`."""
    id = served_model(sessions, artefacts, logits=BIAS)
    graph = onnx.load_from_string(onnx_bytes(BIAS))
    weights = next(value for value in graph.graph.initializer if value.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(np.array(OF_COLOUR, np.float32), "weights"))
    with sessions.begin() as session:
        models.get(session, id).onnx_digest = artefacts.put_bytes(graph.SerializeToString())
    return id


def test_the_server_tells_of_itself(client: TestClient, model: str) -> None:
    for path in ("/v2", "/v2/"):
        answer = client.get(path).json()
        assert (answer["name"], answer["extensions"], answer.keys() - {"name", "version"}) == (
            "noisegate",
            ["binary_tensor_data", "classification", "model_configuration", "statistics"],
            {"extensions"},
        )
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_it_is_ready_when_readyz_says_so(settings: Settings) -> None:
    with run_client(settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})) as client:
        assert client.get("/readyz").status_code == 503
        answer = client.get("/v2/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"live": True, "ready": False})


def test_the_metadata_of_a_model(client: TestClient, model: str, colourful: str) -> None:
    found = client.get("/v2/models/default").json()
    (version,) = found["versions"]
    assert (found["name"], found["platform"]) == ("default", "onnxruntime_onnx")
    (images,) = found["inputs"]
    assert (images["name"], images["datatype"], images["shape"]) == ("images", "UINT8", [-1, SIZE, SIZE, 3])
    assert "BYTES" in images["parameters"]["also"]
    outputs = {one["name"]: (one["datatype"], one["shape"]) for one in found["outputs"]}
    assert outputs == {
        "probabilities": ("FP64", [-1, 2]),
        "reject_score": ("FP64", [-1]),
        "rejected": ("BOOL", [-1]),
        "label": ("BYTES", [-1]),
        "logits": ("FP32", [-1, 2]),
        "features": ("FP32", [-1, -1]),
    }
    assert client.get(f"/v2/models/default/versions/{version}").json() == found
    noisy = {one["name"]: one for one in client.get(f"/v2/models/{colourful}").json()["outputs"]}
    assert noisy["noise_probability"]["shape"] == [-1]
    assert json.loads(noisy["probabilities"]["parameters"]["classes"]) == ["cat", "dog"]
    assert noisy["reject_score"]["parameters"] == {"higher_means": "unknown"}
    assert json.loads(noisy["logits"]["parameters"]["outputs"]) == ["cat", "dog", "noise"]


def test_whether_a_model_is_ready(
    client: TestClient, model: str, colourful: str, sessions: Sessions, artefacts: Artefacts
) -> None:
    (version,) = client.get(f"/v2/models/{model}").json()["versions"]
    for path in ("/v2/models/default/ready", f"/v2/models/default/versions/{version}/ready"):
        assert (client.get(path).status_code, client.get(path).json()) == (200, {"name": "default", "ready": True})
    with sessions.begin() as session:
        models.get(session, colourful).onnx_digest = artefacts.put_bytes(b"no model")
    answer = client.get(f"/v2/models/{colourful}/ready")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert "cannot be loaded" in answer.json()["error"]


@pytest.mark.parametrize("rest", ["", "/ready", "/infer"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nothing", "no model or alias 'nothing'"),
        ("default/versions/1", "model 'default' has no version '1'. Ask for "),
    ],
)
def test_models_and_versions_that_are_not_there(shared_client: TestClient, path: str, rest: str, words: str) -> None:
    method = "POST" if rest == "/infer" else "GET"
    answer = shared_client.request(
        method, f"/v2/models/{path}{rest}", json=as_files("AAAA") if rest == "/infer" else None
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(as_pixels(MANY), id="flat"),
        pytest.param(as_pixels(MANY, data=MANY.tolist()), id="nested"),
        pytest.param(as_pixels(MANY, data=MANY.astype(float).ravel().tolist()), id="whole numbers as 0.0"),
        pytest.param(as_files(*[text_of(png_of(image)) for image in MANY]), id="files"),
        pytest.param(as_files(*[text_of(png_of(image)) for image in MANY], shape=[70, 1]), id="one file a row"),
    ],
)
def test_every_row_is_what_classify_answers(client: TestClient, colourful: str, sent: dict[str, Any]) -> None:
    answer = client.post(f"/v2/models/{colourful}/infer", json=sent | {"parameters": {"max_false_reject": 0.2}})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    rows = rows_of(answer.json())
    decided = [
        client.post(f"/classify?model={colourful}&max_false_reject=0.2", content=png_of(image), headers=PNG).json()
        for image in MANY
    ]
    for name in ("noise_probability", "reject_score", "rejected", "label"):
        assert rows[name].tolist() == [row[name] for row in decided], name
    assert rows["probabilities"].tolist() == [list(row["probabilities"].values()) for row in decided]
    # The rows differ, or their order would not have been seen.
    assert len({row["reject_score"] for row in decided}) == len(MANY)
    assert {row["label"] for row in decided} == {"cat", "dog", "noise"}
    assert {row["rejected"] for row in decided} == {True, False}
    of_model = decided[0]["model"]
    assert answer.json()["model_version"] == of_model["version"]
    assert answer.json()["parameters"] == {
        "model": of_model["id"],
        "max_false_reject": 0.2,
        "threshold": decided[0]["threshold"],
    }


def test_outputs_by_name(client: TestClient, colourful: str) -> None:
    wanted = {"outputs": [{"name": "features"}, {"name": "logits"}, {"name": "features"}], "id": "a § b"}
    answer = client.post(f"/v2/models/{colourful}/infer", json=as_pixels(MANY[:3]) | wanted).json()
    assert (answer["id"], answer["model_name"]) == ("a § b", colourful)
    assert [(one["name"], one["datatype"], one["shape"]) for one in answer["outputs"]] == [
        ("features", "FP32", [3, 3]),
        ("logits", "FP32", [3, 3]),
    ]
    rows = rows_of(answer)
    colours = MANY[:3].mean(axis=(1, 2))
    np.testing.assert_allclose(rows["features"], colours, rtol=1e-5)
    np.testing.assert_allclose(rows["logits"], colours @ np.array(OF_COLOUR) + BIAS, rtol=1e-3)


def test_what_is_not_asked_for_is_not_there(client: TestClient, model: str) -> None:
    # What clients of other servers send besides changes nothing.
    hints = {"binary_data_output": False, "priority": 1, "content_type": "np"}
    sent = as_pixels(MANY[:1]) | {"parameters": hints, "model_name": "default", "outputs": []}
    answer = client.post(INFER, json=sent).json()
    assert answer.keys() == {"model_name", "model_version", "parameters", "outputs"}
    assert [one["name"] for one in answer["outputs"]] == ["probabilities", "reject_score", "rejected", "label"]
    assert answer["parameters"] == {"model": model, "max_false_reject": 0.05, "threshold": 0.9}


def test_the_largest_columns_by_name(client: TestClient, colourful: str) -> None:
    wanted = [
        {"name": "probabilities", "parameters": {"classification": 1}},
        {"name": "logits", "parameters": {"classification": 9}},
    ]
    answer = client.post(f"/v2/models/{colourful}/infer", json=as_pixels(MANY[:3]) | {"outputs": wanted}).json()
    best, logits = answer["outputs"]
    assert (best["datatype"], best["shape"], logits["shape"]) == ("BYTES", [3, 1], [3, 3])
    exact = [{"name": "probabilities"}, {"name": "logits"}]
    values = rows_of(client.post(f"/v2/models/{colourful}/infer", json=as_pixels(MANY[:3]) | {"outputs": exact}).json())
    expected = values["probabilities"].argmax(axis=1)
    for text, row, column in zip(best["data"], values["probabilities"], expected, strict=True):
        assert text == f"{row[column]!r}:{column}:{('cat', 'dog')[column]}".replace("np.float64(", "").replace(")", "")
    named = [text.split(":") for text in logits["data"]]
    assert [float(value) for value, _, _ in named] == np.sort(values["logits"], axis=1)[:, ::-1].ravel().tolist()
    assert {(index, name) for _, index, name in named} == {("0", "cat"), ("1", "dog"), ("2", "noise")}


def test_how_triton_would_be_configured(client: TestClient, model: str, colourful: str) -> None:
    found = client.get(f"/v2/models/{colourful}/config").json()
    assert (found["name"], found["backend"], found["max_batch_size"]) == (colourful, "onnxruntime", 1000)
    assert [(one["name"], one["data_type"], one["dims"]) for one in found["input"]] == [
        ("images", "TYPE_UINT8", [SIZE, SIZE, 3])
    ]
    outputs = {one["name"]: (one["data_type"], one["dims"], one["reshape"]) for one in found["output"]}
    assert outputs["probabilities"] == ("TYPE_FP64", [2], None)
    assert outputs["label"] == ("TYPE_STRING", [1], {"shape": []})
    assert outputs["features"] == ("TYPE_FP32", [-1], None)
    (version,) = client.get("/v2/models/default").json()["versions"]
    by_version = client.get(f"/v2/models/default/versions/{version}/config")
    assert by_version.json() == client.get("/v2/models/default/config").json()
    assert client.get("/v2/models/default/versions/1/config").status_code == 404


def test_the_index_names_aliases_and_models(client: TestClient, model: str, colourful: str) -> None:
    versions = {id: client.get(f"/v2/models/{id}").json()["versions"][0] for id in (model, colourful)}
    for body in (b"", b"{}", b'{"ready": true}'):
        answer = client.post("/v2/repository/index", content=body)
        assert answer.status_code == 200, answer.text
        assert [(one["name"], one["version"], one["state"]) for one in answer.json()] == [
            ("default", versions[model], "READY"),
            (colourful, versions[colourful], "READY"),
            (model, versions[model], "READY"),
        ]
    answer = client.post("/v2/repository/index", json={"raedy": True})
    assert (answer.status_code, "raedy" in answer.json()["error"]) == (422, True)


def test_what_models_have_done(client: TestClient, model: str, colourful: str) -> None:
    (idle,) = client.get(f"/v2/models/{colourful}/stats").json()["model_stats"]
    assert (idle["inference_count"], idle["last_inference"], idle["batch_stats"]) == (0, 0, [])
    for _ in range(2):
        assert client.post(f"/v2/models/{colourful}/infer", json=as_pixels(MANY)).status_code == 200
    assert client.post(f"/classify?model={colourful}", content=png_of(MANY[0]), headers=PNG).status_code == 200
    (done,) = client.get(f"/v2/models/{colourful}/stats").json()["model_stats"]
    assert done["inference_count"] == done["inference_stats"]["success"]["count"] == 141
    assert done["inference_stats"]["queue"]["count"] == 141
    assert done["execution_count"] == done["inference_stats"]["compute_infer"]["count"]
    batches = {one["batch_size"]: one["compute_infer"]["count"] for one in done["batch_stats"]}
    assert sum(size * count for size, count in batches.items()) == 141
    assert done["execution_count"] == sum(batches.values())
    assert done["inference_stats"]["compute_infer"]["ns"] > 0
    assert abs(done["last_inference"] / 1000 - time.time()) < 60
    assert client.get(f"/v2/models/{colourful}/versions/{done['version']}/stats").json() == {"model_stats": [done]}
    every = {one["name"]: one["inference_count"] for one in client.get("/v2/models/stats").json()["model_stats"]}
    assert every[colourful] == 141


def test_the_documented_example_is_answered(client: TestClient, model: str) -> None:
    infer = client.get("/openapi.json").json()["paths"]["/v2/models/{name}/infer"]["post"]
    answer = client.post(INFER, json=infer["requestBody"]["content"]["application/json"]["example"])
    assert (answer.status_code, answer.json()["id"]) == (200, "1")
