"""Triton's client with its default settings, synchronous and asynchronous, over a socket: tensors in binary, both ways."""

import asyncio
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tritonclient.http as triton  # type: ignore[import-untyped]
import tritonclient.http.aio as triton_aio  # type: ignore[import-untyped]
from starlette.testclient import TestClient

from noisegate.store.settings import Settings
from tests.service.conftest import run_server
from tests.service.test_open_inference import MANY, PNG, Pixels, colourful, png_of, text_of

__all__ = ["colourful"]  # a fixture

HUNDRED = np.concatenate([MANY, MANY[:30, ::-1]])
OUTPUTS = ("probabilities", "noise_probability", "reject_score", "rejected", "label")


@pytest.fixture
def address(settings: Settings, colourful: str) -> Iterator[str]:
    with run_server(settings) as (host, port):
        yield f"{host}:{port}"


@pytest.fixture
def server(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


def sent(images: Pixels, datatype: str = "UINT8", **options: bool) -> list[triton.InferInput]:
    return [triton.InferInput("images", list(images.shape), datatype).set_data_from_numpy(images, **options)]


def rows(found: triton.InferResult) -> list[list[object]]:
    return [found.as_numpy(name).tolist() for name in OUTPUTS]


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(triton.InferenceServerException) as raised:
        call()
    return f"{raised.value.status()}: {raised.value.message()}"


def test_what_it_asks_of_server_and_model(server: triton.InferenceServerClient, colourful: str) -> None:
    assert server.is_server_live()
    assert server.is_server_ready()
    assert "binary_tensor_data" in server.get_server_metadata()["extensions"]
    (version,) = server.get_model_metadata(colourful)["versions"]
    assert server.is_model_ready(colourful, version)
    assert not server.is_model_ready(colourful, "1")
    assert not server.is_model_ready("nothing")
    assert server.get_model_config(colourful, version)["input"][0]["dims"] == [32, 32, 3]
    assert colourful in [one["name"] for one in server.get_model_repository_index()]
    server.infer(colourful, sent(MANY))
    counted = server.get_inference_statistics(colourful, version)["model_stats"][0]
    assert counted["inference_count"] == 70
    assert colourful in [one["name"] for one in server.get_inference_statistics()["model_stats"]]


def test_a_hundred_images_at_once_and_one_by_one_are_what_classify_answers(
    server: triton.InferenceServerClient, client: TestClient, colourful: str
) -> None:
    decided = [
        client.post(f"/classify?model={colourful}", content=png_of(image), headers=PNG).json() for image in HUNDRED
    ]
    expected = [[list(row["probabilities"].values()) for row in decided]]
    expected += [[row[name] for row in decided] for name in OUTPUTS[1:4]]
    labels = [row["label"].encode() for row in decided]
    at_once = rows(server.infer(colourful, sent(HUNDRED)))
    assert at_once == [*expected, labels]
    one_by_one = [rows(server.infer(colourful, sent(image[None]))) for image in HUNDRED]
    assert [[row[0] for row in column] for column in zip(*one_by_one, strict=True)] == at_once


def test_json_and_binary_and_compressed_are_the_same(server: triton.InferenceServerClient, colourful: str) -> None:
    binary = server.infer(colourful, sent(MANY), request_id="7", parameters={"max_false_reject": 0.2})
    assert binary.get_response()["id"] == "7"
    assert binary.as_numpy("probabilities").dtype == np.float64
    assert binary.as_numpy("rejected").dtype == np.bool_
    texts = [triton.InferRequestedOutput(name, binary_data=False) for name in OUTPUTS]
    budget = {"parameters": {"max_false_reject": 0.2}}
    expected = rows(binary)[:4]
    for coding in (None, "gzip", "deflate"):
        coded = server.infer(colourful, sent(MANY), request_compression_algorithm=coding, **budget)
        assert rows(coded) == rows(binary), coding
        in_json = server.infer(
            colourful,
            sent(MANY, binary_data=False),
            outputs=texts,
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
            **budget,
        )
        assert rows(in_json)[:4] == expected, coding
        assert in_json.as_numpy("label").tolist() == [label.decode() for label in binary.as_numpy("label")]


def test_files_as_bytes_and_in_base64(server: triton.InferenceServerClient, colourful: str) -> None:
    files = [png_of(image) for image in MANY]
    expected = rows(server.infer(colourful, sent(MANY)))
    for shape in ((70,), (70, 1)):
        raw = np.array(files, dtype=np.object_).reshape(shape)
        assert rows(server.infer(colourful, sent(raw, "BYTES"))) == expected
        texts = np.array([text_of(file) for file in files], dtype=np.object_).reshape(shape)
        assert rows(server.infer(colourful, sent(texts, "BYTES", binary_data=False))) == expected


def test_some_outputs_in_binary_and_the_largest(server: triton.InferenceServerClient, colourful: str) -> None:
    wanted = [
        triton.InferRequestedOutput("logits"),
        triton.InferRequestedOutput("label", binary_data=False),
        triton.InferRequestedOutput("probabilities", class_count=1),
        triton.InferRequestedOutput("features"),
    ]
    found = server.infer(colourful, sent(MANY), outputs=wanted)
    assert (found.as_numpy("logits").dtype, found.as_numpy("logits").shape) == (np.float32, (70, 3))
    assert found.as_numpy("features").shape == (70, 3)
    assert found.as_numpy("rejected") is None
    best = [text.decode().split(":")[2] for text in found.as_numpy("probabilities").ravel()]
    known = ["cat", "dog"]
    assert best == [known[column] for column in found.as_numpy("logits")[:, :2].argmax(axis=1)]
    assert set(found.as_numpy("label").tolist()) == {"cat", "dog", "noise"}


def test_what_it_sends_besides_and_what_is_refused(server: triton.InferenceServerClient, colourful: str) -> None:
    everything = {"sequence_id": 5, "sequence_start": True, "priority": 1, "timeout": 9}
    assert server.infer(colourful, sent(MANY[:1]), **everything).as_numpy("label").shape == (1,)
    misspelt = {"max_false_rejects": 0.2}
    assert "422: parameters.max_false_rejects: is no parameter here" in refused(
        lambda: server.infer(colourful, sent(MANY[:1]), parameters=misspelt)
    )
    assert "404: there is no model" in refused(lambda: server.infer("nothing", sent(MANY)))
    assert "422: the shape [1, 8, 8, 3]" in refused(lambda: server.infer(colourful, sent(MANY[:1, :8, :8].copy())))
    broken = np.array([png_of(MANY[0]), b"no image"], dtype=np.object_)
    assert "422: " in refused(lambda: server.infer(colourful, sent(broken, "BYTES")))
    assert "404: " in refused(lambda: server.load_model(colourful))
    assert "404: " in refused(server.get_system_shared_memory_status)


def test_binary_tensors_that_are_not_as_long_as_they_say(
    server: triton.InferenceServerClient, client: TestClient, colourful: str
) -> None:
    def answer(binary: bytes, datatype: str, shape: list[int], size: int) -> tuple[int, str]:
        tensor = {"name": "images", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}
        head = str({"inputs": [tensor]}).replace("'", '"').encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        found = client.post(f"/v2/models/{colourful}/infer", content=head + binary, headers=headers)
        return found.status_code, found.json().get("error", "")

    pixels = MANY[:2].tobytes()
    assert answer(pixels, "UINT8", [2, 32, 32, 3], len(pixels)) == (200, "")
    for size, behind, shape, words in (
        (len(pixels), pixels[:-1], [2, 32, 32, 3], "6,143 bytes lie behind"),
        (len(pixels), pixels, [1, 32, 32, 3], "6,144 elements where"),
        (len(pixels) - 1, pixels[:-1], [2, 32, 32, 3], "6,143 elements where"),
    ):
        status, error = answer(behind, "UINT8", shape, size)
        assert (status, words in error) == (422, True), error
    file = png_of(MANY[0])
    element = len(file).to_bytes(4, "little") + file
    assert answer(element * 2, "BYTES", [2], 2 * len(element)) == (200, "")
    for behind, count in (
        (element, 2),
        (element * 2, 1),
        (element[:-1], 1),
        (element + b"\0\0", 1),
        (element + b"\0\0", 2),
        (b"\xff\xff\xff\xff" + file, 1),
        (b"", 1),
    ):
        status, error = answer(behind, "BYTES", [count], len(behind))
        assert (status, "elements that fill it" in error) == (422, True), error
    assert "is empty" in answer(element + bytes(4), "BYTES", [2], len(element) + 4)[1]
    raw = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    found = client.post(f"/v2/models/{colourful}/infer", content=pixels, headers=raw)
    length = int(found.headers["Inference-Header-Content-Length"])
    result = triton.InferenceServerClient.parse_response_body(found.content, header_length=length)
    assert rows(result) == rows(server.infer(colourful, sent(MANY[:2])))


def test_the_asynchronous_half(address: str, server: triton.InferenceServerClient, colourful: str) -> None:
    async def asked(binary: bool) -> list[list[list[object]]]:
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_model_ready(colourful)
            assert (await client.get_model_config(colourful))["max_batch_size"] == 1000
            wanted = None if binary else [triton.InferRequestedOutput(name, binary_data=False) for name in OUTPUTS]
            singles = (client.infer(colourful, sent(image[None], binary_data=binary), outputs=wanted) for image in MANY)
            at_once = await client.infer(colourful, sent(MANY, binary_data=binary), outputs=wanted)
            return [rows(found) for found in [at_once, *await asyncio.gather(*singles)]]

    expected = rows(server.infer(colourful, sent(MANY)))
    for binary in (True, False):
        at_once, *singles = asyncio.run(asked(binary))
        assert at_once[:4] == expected[:4]
        assert [[row[0] for row in column] for column in zip(*singles, strict=True)][:4] == expected[:4]
