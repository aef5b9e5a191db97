import gzip
import json
import zlib
from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.store import models
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.service.conftest import run_client
from tests.service.factories import png_bytes, ready_dataset, served_model
from tests.service.test_open_inference import INFER, MANY, SIZE, as_files, as_pixels, text_of

ONE = MANY[:1]
FLAT = ONE.ravel().tolist()
PICTURE = text_of(png_bytes())


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "inputs", "Field required"),
        ({"inputs": []}, "inputs", "there are 0 inputs"),
        ({"inputs": as_pixels(ONE)["inputs"] * 2}, "inputs", "there are 2 inputs"),
        (as_pixels(ONE, name="image"), "inputs.0.name", "no input 'image'. Send one input, named `images`"),
        (as_pixels(ONE, datatype="FP32"), "inputs.0.datatype", "'FP32' is not read here. Send pixels as UINT8"),
        (as_pixels(ONE, shape=[SIZE, SIZE, 3]), "inputs.0.shape", "is not [n, 32, 32, 3]"),
        (as_pixels(ONE, shape=[1, 3, SIZE, SIZE]), "inputs.0.shape", "is not [n, 32, 32, 3]"),
        (as_pixels(ONE, shape=[1]), "inputs.0.shape", "is not [n, 32, 32, 3]"),
        (as_pixels(ONE, shape=[]), "inputs.0.shape", "at least 1 item"),
        (as_pixels(ONE, shape=[1] * 5), "inputs.0.shape", "at most 4 items"),
        (as_pixels(ONE, shape=[0, SIZE, SIZE, 3]), "inputs.0.shape.0", "greater than or equal to 1"),
        (as_pixels(ONE, shape=[-1, SIZE, SIZE, 3]), "inputs.0.shape.0", "greater than or equal to 1"),
        (as_pixels(ONE, shape=[2**63, SIZE, SIZE, 3]), "inputs.0.shape.0", "less than 9223372036854775808"),
        (as_pixels(ONE, shape=[2**62, SIZE, SIZE, 3]), "inputs.0.shape", "the 1,000 that one request may have"),
        (as_pixels(ONE, shape=[1001, SIZE, SIZE, 3]), "inputs.0.shape", "Send them in several requests"),
        (as_pixels(ONE, shape=[True, SIZE, SIZE, 3]), "inputs.0.shape.0", "valid integer"),
        (as_pixels(ONE, shape=[1.0, SIZE, SIZE, 3]), "inputs.0.shape.0", "valid integer"),
        (as_pixels(ONE, shape="1"), "inputs.0.shape", "valid array"),
        (as_pixels(ONE, data=FLAT[:-1]), "inputs.0.data", "3,071 elements where the shape [1, 32, 32, 3] has 3,072"),
        (as_pixels(ONE, data=[*FLAT, 1]), "inputs.0.data", "3,073 elements"),
        (as_pixels(ONE, data=[]), "inputs.0.data", "0 elements"),
        (as_pixels(ONE, data=7), "inputs.0.data", "valid array"),
        (as_pixels(ONE, data=[FLAT]), "inputs.0.data", "3,072 elements where"),
        (as_pixels(ONE, data=[[[[0, 0, 0]] * 32] * 31 + [[[0, 0, 0]] * 31]]), "inputs.0.data", "31 elements"),
        (as_pixels(ONE, data=[[[[0, 0, 0]] * 32] * 31 + [[[0, 0, 0]] * 31 + [[0, 0]]]]), "inputs.0.data", "2 elements"),
        (as_pixels(ONE, data=[[[[0, 0, [0]]] * 32] * 32]), "inputs.0.data", "element 2 in row-major order is [0]"),
        (as_pixels(ONE, data=[0, [0], *FLAT[2:]]), "inputs.0.data", "element 1 in row-major order is [0]"),
        (as_pixels(ONE, data=[*FLAT[:-1], 256]), "inputs.0.data", "element 3,071 in row-major order is 256"),
        (as_pixels(ONE, data=[*FLAT[:-1], 10**30]), "inputs.0.data", "is 1000"),
        (as_pixels(ONE, data=[-1, *FLAT[1:]]), "inputs.0.data", "element 0 in row-major order is -1"),
        (as_pixels(ONE, data=[True, *FLAT[1:]]), "inputs.0.data", "is True, not a whole number from 0 to 255"),
        (as_pixels(ONE, data=[1.5, *FLAT[1:]]), "inputs.0.data", "element 0 in row-major order is 1.5"),
        (as_pixels(ONE, data=[*FLAT[:-1], 256.0]), "inputs.0.data", "element 3,071 in row-major order is 256.0"),
        (as_pixels(ONE, data=[1.0, *FLAT[1:-1], True]), "inputs.0.data", "element 3,071 in row-major order is True"),
        (as_pixels(ONE, data=[1.0, *FLAT[1:-1], 10**400]), "inputs.0.data", "element 3,071 in row-major order is 1000"),
        (as_pixels(ONE, data=[float("nan"), *FLAT[1:]]), "inputs.0.data", "is nan"),
        (as_pixels(ONE, data=[None, *FLAT[1:]]), "inputs.0.data", "is None"),
        (as_pixels(ONE, data=["9" * 10_000, *FLAT[1:]]), "inputs.0.data", "'999999999999...9999999999999'"),
        (as_files(PICTURE, shape=[2]), "inputs.0.data", "1 elements where the shape [2] has 2"),
        (as_files(PICTURE, shape=[1, 2]), "inputs.0.shape", "is not [n] or [n, 1]"),
        (as_files(PICTURE, shape=[1, 1, 1]), "inputs.0.shape", "is not [n] or [n, 1]"),
        (as_pixels(ONE, data=None), "inputs.0.data", "has no data"),
        (
            as_pixels(ONE, parameters={"binary_data_size": 3072}),
            "inputs.0.data",
            "has data, and is binary, too",
        ),
        (
            as_pixels(ONE, data=None, parameters={"binary_data_size": 3072}),
            "inputs.0.parameters.binary_data_size",
            "is 3,072, and 0 bytes lie behind the JSON",
        ),
        (as_files(*[PICTURE] * 1001), "inputs.0.shape", "1,001 images"),
        (as_files(PICTURE, data=[5]), "inputs.0.data.0", "element 0 is 5, not a text"),
        (as_files(PICTURE, data=[[PICTURE]]), "inputs.0.data.0", "not a text"),
        (as_files(PICTURE, "", PICTURE), "inputs.0.data.1", "is empty"),
        (as_files(PICTURE, "äöü="), "inputs.0.data.1", "is not base64"),
        (as_files(PICTURE, "AAAA", "BBBB"), "inputs.0.data.1", "no image of a kind that is read"),
        (as_files(PICTURE) | {"outputs": [{"name": "label"}, {"name": "sizes"}]}, "outputs.1.name", "reject_score, "),
        (as_files(PICTURE) | {"outputs": [{"name": "noise_probability"}]}, "outputs.0.name", "has no output 'noise_p"),
        (
            as_files(PICTURE) | {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            "outputs.0.parameters.classification",
            "'label' has no columns whose largest could be named",
        ),
        (
            as_files(PICTURE) | {"outputs": [{"name": "logits", "parameters": {"classification": 0}}]},
            "outputs.0.parameters.classification",
            "greater than or equal to 1",
        ),
        (
            as_files(PICTURE)
            | {"outputs": [{"name": "logits"}, {"name": "logits", "parameters": {"classification": 1}}]},
            "outputs.1.parameters",
            "in two ways",
        ),
        (
            as_files(PICTURE) | {"parameters": {"max_false_rejects": 0.5}},
            "parameters.max_false_rejects",
            "is no parameter here; there are: binary_data_output, content_type, max_false_reject, priority",
        ),
        (
            as_files(PICTURE, parameters={"content": 1}),
            "inputs.0.parameters.content",
            "there are: binary_data_size, content_type",
        ),
        (
            as_files(PICTURE) | {"outputs": [{"name": "label", "parameters": {"binary_dat": False}}]},
            "outputs.0.parameters.binary_dat",
            "there are: binary_data",
        ),
        (as_files(PICTURE) | {"parameters": {"max_false_reject": 1.5}}, "parameters.max_false_reject", "equal to 1"),
        (
            as_files(PICTURE) | {"parameters": {"max_false_reject": float("nan")}},
            "parameters.max_false_reject",
            "finite",
        ),
        (
            as_files(PICTURE) | {"parameters": {"max_false_reject": "0.5"}},
            "parameters.max_false_reject",
            "valid number",
        ),
        (as_files(PICTURE) | {"id": 5}, "id", "valid string"),
    ],
)
def test_requests_that_are_wrong(shared_client: TestClient, body: dict[str, Any], field: str, words: str) -> None:
    # Over the wire as Python writes it, NaN included.
    answer = shared_client.post(INFER, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert words in answer.json()["error"]
    assert len(answer.json()["error"]) < 400


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"{", {"Content-Type": "application/json"}, 400, "not valid JSON"),
        (b"", {}, 400, "not valid JSON"),
        (b"[" * 10_000, {}, 400, "not valid JSON"),
        (b"\xff", {}, 400, "not valid JSON"),
        (b"[]", {}, 422, "object"),
        (b"{}", {"Inference-Header-Content-Length": "3"}, 400, "the body has 2 bytes"),
        (b"{}", {"Inference-Header-Content-Length": "-1"}, 400, "is '-1'"),
        (b"{}", {"Inference-Header-Content-Length": "9" * 5000}, 400, "is '99999999999999999999',"),
        (b"", {"Inference-Header-Content-Length": "0"}, 422, "images here have 3,072"),
        (bytes(3071), {"Inference-Header-Content-Length": "0"}, 422, "has 3,071 bytes"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "gzip"),
        (b"{}", {"Content-Encoding": "deflate"}, 400, "ends before its end"),
        (b"\x78\x9c\xff\xff\xff", {"Content-Encoding": "deflate"}, 400, "what its Content-Encoding says, deflate"),
        (gzip.compress(b"{}") + b"{}", {"Content-Encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(b"{}" * 100)[:-1], {"Content-Encoding": "gzip"}, 400, "ends before its end"),
        (gzip.compress(b"") * 17, {"Content-Encoding": "gzip"}, 400, "16 members"),
        (b"{}", {"Content-Encoding": "br"}, 415, "without Content-Encoding"),
        (b"{}", {"Content-Encoding": "gzip, deflate"}, 415, "without Content-Encoding"),
        (b"{}", {"Content-Type": "image/png"}, 415, "application/octet-stream"),
    ],
)
def test_bodies_that_cannot_be_read(
    shared_client: TestClient, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = shared_client.post(INFER, content=body, headers=headers)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_limits(settings: Settings, model: str) -> None:
    tight = settings.model_copy(
        update={"max_batch_images": 2, "max_tensor_bytes": 50_000, "max_image_pixels": 2000, "max_image_bytes": 5000}
    )
    with run_client(tight) as client:
        assert client.post(INFER, json=as_pixels(MANY[:2])).status_code == 200
        many = client.post(INFER, json=as_pixels(MANY[:3]))
        assert (many.status_code, many.json()["errors"][0]["field"]) == (422, "inputs.0.shape")
        assert client.post(INFER, json=as_files(PICTURE, text_of(png_bytes(44)))).status_code == 200
        wide = client.post(INFER, json=as_files(PICTURE, text_of(png_bytes(45))))
        assert (wide.status_code, wide.json()["errors"][0]["field"]) == (413, "inputs.0.data.1")
        long = client.post(INFER, json=as_files(PICTURE, text_of(bytes(5001))))
        assert (long.status_code, long.json()["errors"][0]["field"]) == (413, "inputs.0.data.1")
        body = b" " * 50_001
        assert client.post(INFER, content=body).status_code == 413
        chunked = client.post(INFER, content=iter([body]))
        assert (chunked.status_code, "50,000 bytes" in chunked.json()["error"]) == (413, True)


def test_trouble_that_is_ours_has_its_error_too(client: TestClient, model: str, sessions: Sessions) -> None:
    with sessions.begin() as session:
        models.get(session, model).onnx_digest = "0" * 64
    answer = client.post(INFER, json=as_pixels(ONE))
    assert (answer.status_code, answer.json()["code"]) == (500, "model-unusable")
    assert "cannot be loaded" in answer.json()["error"]


def test_an_answer_of_too_many_numbers_is_refused_before_anything_is_run(settings: Settings) -> None:
    with run_client(settings.model_copy(update={"max_tensor_values": 10})) as client:
        sessions = client.app_state["resources"].sessions
        artefacts = client.app_state["resources"].artefacts
        with sessions.begin() as session:
            ready_dataset(session, artefacts)
        served_model(sessions, artefacts)
        sent: dict[str, Any] = {
            "inputs": [{"name": "images", "shape": [4], "datatype": "BYTES", "data": [PICTURE] * 4}]
        }
        few = client.post("/v2/models/default/infer", json=sent | {"outputs": [{"name": "logits"}]})
        many = client.post("/v2/models/default/infer", json=sent | {"outputs": [{"name": "features"}]})
    assert few.status_code == 200
    assert (many.status_code, many.json()["errors"][0]["field"]) == (422, "outputs")
    assert "12 numbers" in many.json()["error"]


def test_a_bomb_is_refused_while_it_is_inflated(settings: Settings, model: str) -> None:
    assert model
    tight = settings.model_copy(update={"max_tensor_bytes": 50_000, "max_json_bytes": 10_000})
    with run_client(tight) as client:
        for path, bomb in ((INFER, gzip.compress(b" " * 10**7)), (INFER, zlib.compress(b" " * 50_001))):
            coding = "gzip" if bomb[:2] == b"\x1f\x8b" else "deflate"
            answer = client.post(path, content=bomb, headers={"Content-Encoding": coding})
            assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
            assert "50,000 bytes" in answer.json()["error"]
        index = gzip.compress(b" " * 10_001)
        answer = client.post("/v2/repository/index", content=index, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, "10,000 bytes" in answer.json()["error"]) == (413, True)
        whole = gzip.compress(json.dumps(as_files(PICTURE)).encode())
        assert client.post(INFER, content=whole, headers={"Content-Encoding": "gzip"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v2/nothing", {}, 404),
        ("DELETE", "/v2/models/default", {}, 405),
        ("GET", "/v2/models/default?pretty=1", {}, 422),
        ("GET", "/v2", {"Host": "evil.example"}, 400),
        ("GET", "/v2/models/default", {"X-Forwarded-For": "198.51.100.7"}, 401),
        ("POST", "/v2/models/default/infer", {"Origin": "https://evil.example"}, 403),
        ("POST", "/v2/models/default/infer", {"Content-Length": str(10**9)}, 413),
        ("POST", "/v2/repository/models/default/load", {}, 404),
    ],
)
def test_every_refusal_below_v2_has_its_error(
    shared_client: TestClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = shared_client.request(method, path, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["error"].startswith(answer.json()["detail"])
    assert "error" not in shared_client.get("/v3").json()
