import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.http as triton  # type: ignore[import-untyped]
from onnx import numpy_helper
from PIL import Image
from starlette.testclient import TestClient

from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.service.conftest import run_client, run_server
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
            [],
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
        pytest.param(as_files(*[text_of(png_of(image)) for image in MANY]), id="files"),
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
    hints = {"binary_data_output": True, "priority": 1, "content_type": "np"}
    sent = as_pixels(MANY[:1]) | {"parameters": hints, "model_name": "default", "outputs": []}
    answer = client.post(INFER, json=sent).json()
    assert answer.keys() == {"model_name", "model_version", "parameters", "outputs"}
    assert [one["name"] for one in answer["outputs"]] == ["probabilities", "reject_score", "rejected", "label"]
    assert answer["parameters"] == {"model": model, "max_false_reject": 0.05, "threshold": 0.9}


def test_the_documented_example_is_answered(client: TestClient, model: str) -> None:
    (body,) = (
        client.get("/openapi.json")
        .json()["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]
        .values()
    )
    answer = client.post(INFER, json=body["example"])
    assert (answer.status_code, answer.json()["id"]) == (200, "1")


def triton_input(images: Pixels, datatype: str = "UINT8", *, binary: bool = False) -> Any:
    return triton.InferInput("images", list(images.shape), datatype).set_data_from_numpy(images, binary_data=binary)


@pytest.fixture
def refused() -> Callable[[Callable[[], object]], str]:
    def message(call: Callable[[], object]) -> str:
        with pytest.raises(triton.InferenceServerException) as raised:
            call()
        return f"{raised.value.status()}: {raised.value.message()}"

    return message


def test_tritonclient(settings: Settings, colourful: str, refused: Callable[[Callable[[], object]], str]) -> None:
    with run_server(settings) as (host, port), triton.InferenceServerClient(f"{host}:{port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.get_server_metadata()["name"] == "noisegate"
        metadata = client.get_model_metadata(colourful)
        (version,) = metadata["versions"]
        assert client.is_model_ready(colourful, version)
        assert not client.is_model_ready(colourful, "1")
        assert not client.is_model_ready("nothing")

        # Without outputs it asks for all in binary; with them too, unless told otherwise. JSON is read all the same.
        found = client.infer(colourful, [triton_input(MANY)], request_id="7", parameters={"max_false_reject": 0.2})
        assert found.get_response()["id"] == "7"
        probabilities = found.as_numpy("probabilities")
        assert (probabilities.dtype, probabilities.shape) == (np.float64, (70, 2))
        np.testing.assert_allclose(probabilities.sum(axis=1) + found.as_numpy("noise_probability"), 1)
        assert found.as_numpy("rejected").dtype == np.bool_
        assert set(found.as_numpy("label")) == {"cat", "dog", "noise"}
        wanted = [triton.InferRequestedOutput("logits"), triton.InferRequestedOutput("label", binary_data=False)]
        chosen = client.infer(colourful, [triton_input(MANY)], model_version=version, outputs=wanted)
        assert (chosen.as_numpy("logits").dtype, chosen.as_numpy("logits").shape) == (np.float32, (70, 3))
        assert chosen.as_numpy("label").tolist() == found.as_numpy("label").tolist()
        assert chosen.as_numpy("probabilities") is None

        everything = {
            "sequence_id": 5,
            "sequence_start": True,
            "priority": 1,
            "timeout": 9,
            "parameters": {"content_type": "np"},
        }
        assert client.infer(colourful, [triton_input(MANY[:1])], **everything).as_numpy("label").shape == (1,)
        misspelt = {"max_false_rejects": 0.2}
        assert "422: parameters.max_false_rejects: is no parameter here; there are: binary_data_output" in refused(
            lambda: client.infer(colourful, [triton_input(MANY[:1])], parameters=misspelt)
        )
        classes = [triton.InferRequestedOutput("label", class_count=2)]
        assert "422: outputs.0.parameters.classification: is no parameter here" in refused(
            lambda: client.infer(colourful, [triton_input(MANY[:1])], outputs=classes)
        )

        files = np.array([text_of(png_of(image)) for image in MANY], dtype=np.object_)
        of_files = client.infer(colourful, [triton_input(files, "BYTES")])
        assert of_files.as_numpy("probabilities").tolist() == probabilities.tolist()

        binary = [triton_input(MANY, binary=True)]
        assert "415: binary tensors are not read" in refused(lambda: client.infer(colourful, binary))
        assert "404: there is no model" in refused(lambda: client.infer("nothing", [triton_input(MANY)]))
        assert "422: the shape [1, 8, 8, 3]" in refused(
            lambda: client.infer(colourful, [triton_input(MANY[:1, :8, :8])])
        )
