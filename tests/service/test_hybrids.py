import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from starlette.testclient import TestClient

from noisegate.evaluation.hybrids import hybrid
from noisegate.spec import HybridPairs
from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.hybrids.mixing import notes_on_sizes
from tests.service.conftest import run_client
from tests.service.factories import IMAGE_SIZE, png_bytes, ready_dataset, served_model
from tests.service.test_classify import untimed

DARK, BRIGHT = png_bytes(colour=50), png_bytes(colour=200)


def brightness_onnx() -> bytes:
    """cat, dog and noise have the logits 0, 0.1 · (mean − 100) and −20: dark images are cats, bright ones dogs."""
    constants: dict[str, np.ndarray] = {
        "weights": np.array([[0, 0.1 / 3, 0]] * 3, np.float32),
        "bias": np.array([0, -10, -20], np.float32),
        "axes": np.array([1, 2], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["features"], keepdims=0),
            helper.make_node("Gemm", ["features", "weights", "bias"], ["logits"]),
        ],
        "brightness",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", IMAGE_SIZE, IMAGE_SIZE, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.fixture
def model(sessions: Sessions, artefacts: Artefacts, client: TestClient) -> str:
    """The id of a model that goes by the mean brightness, which is also `default`."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    id = served_model(sessions, artefacts, logits=[0, 0, 0])
    with sessions.reading() as session:
        artefacts.path(models.get(session, id).onnx_digest).write_bytes(brightness_onnx())
    return id


def files(low: bytes, high: bytes) -> dict[str, Any]:
    return {"low": ("a", low), "high": ("b", high)}


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pixels_of(answer: dict[str, Any]) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(answer["image"]))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.array(image)


def text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def test_a_dark_image_with_the_detail_of_a_bright_one_is_dark(client: TestClient, model: str) -> None:
    answer = client.post("/hybrids", files=files(DARK, BRIGHT)).json()
    assert [answer[name]["label"] for name in ("hybrid", "low", "high")] == ["cat", "cat", "dog"]
    assert pixels_of(answer).tolist() == np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 50).tolist()
    # Of a bright image and a dark one: 1 / (1 + e⁻¹⁰ + e⁻³⁰) is dog.
    answer = client.post("/hybrids", files=files(BRIGHT, DARK)).json()
    assert [answer[name]["label"] for name in ("hybrid", "low", "high")] == ["dog", "dog", "cat"]
    assert answer["hybrid"]["probabilities"]["dog"] == pytest.approx(0.9999546, abs=1e-6)
    assert (answer["model"]["id"], answer["model"]["alias"]) == (model, "default")
    assert answer["notes"] == []


def test_both_ways_in_give_the_same_hybrid(client: TestClient, model: str) -> None:
    first, second = np.random.default_rng(1).integers(0, 256, (2, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    low, high = encoded(first), encoded(second)
    form = client.post("/hybrids", files=files(low, high), data={"low_cutoff": "2.5", "high_cutoff": "7"})
    document = {"low": text(low), "high": text(high), "low_cutoff": 2.5, "high_cutoff": 7}
    assert (form.status_code, client.post("/hybrids", json=document).json()) == (200, form.json())
    assert pixels_of(form.json()).tolist() == hybrid(first, second, 2.5, 7).tolist()
    plain = client.post("/hybrids", files=files(low, high)).json()
    assert pixels_of(plain).tolist() == hybrid(first, second, 4, 4).tolist()


def test_the_decisions_are_those_of_classify(client: TestClient, model: str) -> None:
    query = f"model={model}&max_false_reject=1"
    answer = client.post(f"/hybrids?{query}", files=files(DARK, BRIGHT)).json()
    assert (answer["model"]["id"], answer["model"]["alias"]) == (model, None)
    for name, image in (("low", DARK), ("high", BRIGHT), ("hybrid", base64.b64decode(answer["image"]))):
        alone = client.post(f"/classify?{query}", content=image, headers={"Content-Type": "image/png"}).json()
        assert answer[name] | {"model": answer["model"]} == untimed(alone)
        # The lowest quantile, 0, rejects all that is not certain.
        assert (answer[name]["threshold"], answer[name]["rejected"]) == (0.0, True)


def test_images_of_other_sizes_are_resized_and_it_is_said(client: TestClient, model: str) -> None:
    answer = client.post("/hybrids", files=files(png_bytes(48, 50), BRIGHT)).json()
    assert answer["notes"] == ["low was 48×48 and high 32×32; low was resized to the model's 32×32"]
    assert pixels_of(answer).tolist() == np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 50).tolist()


def test_the_size_told_is_that_of_the_upright_image(client: TestClient, model: str) -> None:
    on_its_side = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 20)).save(on_its_side, "JPEG", exif=exif)
    webp = io.BytesIO()
    Image.new("RGB", (40, 10)).save(webp, "WEBP")
    answer = client.post("/hybrids", files=files(on_its_side.getvalue(), webp.getvalue())).json()
    assert answer["notes"] == ["low was 20×60 and high 40×10; both were resized to the model's 32×32"]


def test_notes_on_sizes() -> None:
    assert notes_on_sizes((32, 32), (32, 32), 32) == []
    assert notes_on_sizes((32, 32), (32, 30), 32) == [
        "low was 32×32 and high 32×30; high was resized to the model's 32×32"
    ]


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        ({"files": {"low": ("a", DARK)}}, "high", "no file 'high'"),
        ({"files": {"high": ("a", DARK)}}, "low", "no file 'low'"),
        ({"files": {"high": ("a", DARK)}, "data": {"low": "text"}}, "low", "no file 'low'"),
        ({"files": files(b"", DARK)}, "low", "low is empty"),
        ({"files": files(DARK, b"hello")}, "high", "high: the image is text"),
        ({"files": files(DARK[:60], DARK)}, "low", "low: the image is cut short"),
        ({"json": {"low": text(DARK)}}, "high", "high"),
        ({"json": {"low": text(DARK), "high": ""}}, "high", "high is empty"),
        ({"json": {"low": "?", "high": text(DARK)}}, "low", "low is not base64"),
        ({"json": {"low": text(DARK), "high": text(b"hello")}}, "high", "is text"),
        ({"json": {"low": text(DARK), "high": text(DARK), "colour": 1}}, "colour", "colour"),
        ({"files": files(DARK, DARK), "data": {"colour": "1"}}, "colour", "colour"),
    ],
)
def test_wrong_images(shared_client: TestClient, request_: dict[str, Any], field: str, words: str) -> None:
    answer = shared_client.post("/hybrids", **request_)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("name", ["low_cutoff", "high_cutoff"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "4097", "", "four"])
def test_wrong_cutoffs(shared_client: TestClient, name: str, value: str) -> None:
    as_form = shared_client.post("/hybrids", files=files(DARK, DARK), data={name: value})
    numbers = {"nan": float("nan"), "inf": float("inf"), "0": 0, "-1": -1, "4097": 4097}
    document = {"low": text(DARK), "high": text(DARK), name: numbers.get(value, value)}
    as_json = shared_client.post("/hybrids", content=json.dumps(document), headers={"Content-Type": "application/json"})
    for answer in (as_form, as_json):
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [name]


@pytest.mark.parametrize(
    ("request_", "status", "code", "words"),
    [
        ({"files": {**files(DARK, DARK), "more": ("c", b"x")}}, 400, "malformed", "Too many files"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed", "not valid JSON"),
        ({"content": DARK, "headers": {"Content-Type": "image/png"}}, 415, "unsupported-media-type", "multipart"),
        ({"content": DARK}, 415, "unsupported-media-type", "without a Content-Type"),
    ],
)
def test_wrong_bodies(shared_client: TestClient, request_: dict[str, Any], status: int, code: str, words: str) -> None:
    answer = shared_client.post("/hybrids", **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert words in answer.json()["detail"]


def test_wrong_models_and_shares(shared_client: TestClient) -> None:
    answer = shared_client.post("/hybrids?model=mod_nothing", files=files(DARK, DARK))
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no model or alias 'mod_nothing'")
    for share in ("-0.01", "1.01", "nan"):
        answer = shared_client.post(f"/hybrids?max_false_reject={share}", files=files(DARK, DARK))
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["max_false_reject"]


def incompressible(length: int) -> bytes:
    """A PNG of exactly so many bytes: random pixels, and a text chunk that fills the rest."""
    image = encoded(np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    # 12 bytes around a chunk's content; nobody checks the sum of a chunk that is cut away.
    room = length - len(image) - 12
    return image[:-12] + room.to_bytes(4, "big") + b"tEXt" + bytes(room + 4) + image[-12:]


def test_two_images_of_the_largest_size_go_in_together(settings: Settings, model: str) -> None:
    # Base64 of two is 800,000 bytes, beyond what /classify or a plain JSON body may have.
    largest = incompressible(300_000)
    with run_client(settings.model_copy(update={"max_image_bytes": len(largest)})) as client:
        document = {"low": text(largest), "high": text(largest)}
        for request in ({"files": files(largest, largest)}, {"json": document}):
            answer = client.post("/hybrids", **request)
            assert answer.status_code == 200, answer.text
        over = client.post("/hybrids", files=files(DARK, largest + b"x"))
        assert (over.status_code, over.json()["errors"][0]["field"]) == (413, "high")


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_over_the_limit(settings: Settings, chunked: bool) -> None:
    # Twice 1.4 times the image for base64, and 64 KiB around them.
    body = bytes(2 * 100_000 * 14 // 10 + 64 * 1024 + 1)

    def sent() -> bytes | Iterator[bytes]:
        return iter([body[:50_000], body[50_000:]]) if chunked else body

    with run_client(settings.model_copy(update={"max_image_bytes": 100_000})) as client:
        for content_type in ("application/json", "multipart/form-data; boundary=x"):
            answer = client.post("/hybrids", content=sent(), headers={"Content-Type": content_type})
            assert (answer.status_code, answer.json()["code"]) == (413, "too-large"), content_type
            assert "345,536 bytes" in answer.json()["detail"]


def test_too_many_pixels(settings: Settings, model: str) -> None:
    with run_client(settings.model_copy(update={"max_image_pixels": 2000})) as client:
        answer = client.post("/hybrids", files=files(DARK, png_bytes(64)))
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, "high")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "application/json"])
def test_cutoffs_are_those_of_an_experiment(shared_client: TestClient, content_type: str) -> None:
    operation = shared_client.get("/openapi.json").json()["paths"]["/hybrids"]["post"]
    here = operation["requestBody"]["content"][content_type]["schema"]["properties"]
    there = HybridPairs.model_json_schema()["properties"]
    for name in ("low_cutoff", "high_cutoff"):
        assert here[name] == there[name]
        assert there[name]["exclusiveMinimum"] == 0


def test_the_documentation_names_both_ways_in(shared_client: TestClient) -> None:
    operation = shared_client.get("/openapi.json").json()["paths"]["/hybrids"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    for body in content.values():
        assert set(body["schema"]["properties"]) == {"low", "high", "low_cutoff", "high_cutoff"}
        assert set(body["schema"]["required"]) == {"low", "high"}
    assert {"200", "400", "404", "413", "415", "422"} <= set(operation["responses"])
