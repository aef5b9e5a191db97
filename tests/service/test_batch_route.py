"""Many images in one form, over HTTP."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.conftest import wait_until
from tests.service.comparing import assert_same, expected_of
from tests.service.conftest import run_client, run_server
from tests.service.factories import png_bytes, ready_dataset
from tests.service.graphs import fails_on_white, seeing_onnx
from tests.service.test_classify import untimed
from tests.service.traffic import encoded, form_of, measured, peer, pictures, stored_model

PNG = {"Content-Type": "image/png"}
Files = Sequence[tuple[str, bytes]]


@pytest.fixture
def seeing(sessions: Sessions, artefacts: Artefacts, client: TestClient) -> str:
    """The id of a model that looks at its image, and `default`; the client runs on the same database."""
    return seeing_model(sessions, artefacts, seeing_onnx(1))


def seeing_model(sessions: Sessions, artefacts: Artefacts, onnx: bytes) -> str:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    return stored_model(sessions, artefacts, onnx)[0]


def as_form(files: Files) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", file) for file in files]


def lines_of(client: TestClient, files: Files, query: str = "") -> list[dict[str, Any]]:
    answer = client.post(f"/classify/batch{query}", files=as_form(files))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_line_is_what_classify_says_of_that_image_in_the_forms_order(client: TestClient, seeing: str) -> None:
    images = [encoded(picture, kind) for picture in pictures(70, 1) for kind in ("PNG", "JPEG", "WEBP")]
    files = [(f"{number}.png", image) for number, image in enumerate(images)]
    lines = lines_of(client, files, "?max_false_reject=0.3")
    assert [line["index"] for line in lines] == list(range(210))
    assert [line["name"] for line in lines] == [name for name, _ in files]
    assert {line["problem"] for line in lines} == {None}
    alone = [client.post("/classify?max_false_reject=0.3", content=image, headers=PNG).json() for image in images]
    for line, expected in zip(lines, alone, strict=True):
        assert_same(untimed(line["classification"]), untimed(expected))
    assert len({line["classification"]["reject_score"] for line in lines}) > 200, "no two images are alike"
    assert max(line["classification"]["timing"]["batch_size"] for line in lines) > 1


def test_the_same_as_one_document_by_accept(client: TestClient, seeing: str) -> None:
    files = [(f"{number}", encoded(picture)) for number, picture in enumerate(pictures(5, 2))] + [("bad", b"x")]
    answer = client.post("/classify/batch", files=as_form(files), headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    for item, line in zip(answer.json()["items"], lines_of(client, files), strict=True):
        assert (item["index"], item["name"], item["problem"]) == (line["index"], line["name"], line["problem"])
        if line["classification"]:
            assert_same(untimed(item["classification"]), untimed(line["classification"]))


def test_a_bad_image_fails_its_own_line_only(settings: Settings, sessions: Sessions, artefacts: Artefacts) -> None:
    seeing_model(sessions, artefacts, seeing_onnx(1))
    well = encoded(pictures(1, 3)[0])
    noisy = encoded(np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8))
    bad = [
        (b"only text", 422, "invalid-image", "is text"),
        (b"", 422, "invalid-image", "is empty"),
        (noisy, 413, "too-large", "bytes"),
        (png_bytes(101), 413, "too-large", "101 × 101"),
        (well[:-30], 422, "invalid-image", "cut short"),
    ]
    files = [("well", well)] + [file for image, *_ in bad for file in (("bad", image), ("well", well))]
    limits = {"max_image_bytes": 20_000, "max_image_pixels": 10_000, "max_waiting_images": 1}
    tight = settings.model_copy(update=limits)
    assert len(noisy) > 20_000 > len(png_bytes(101))
    with run_client(tight) as client:
        lines = lines_of(client, files)
    assert [line["index"] for line in lines] == list(range(11))
    assert [line["problem"] for line in lines[::2]] == [None] * 6
    for line in lines[2::2]:
        assert_same(untimed(line["classification"]), untimed(lines[0]["classification"]))
    for line, (_, status, code, words) in zip(lines[1::2], bad, strict=True):
        assert line["classification"] is None
        assert (line["problem"]["status"], line["problem"]["code"]) == (status, code)
        assert words in line["problem"]["detail"]
        assert line["problem"]["remedy"]


def test_an_image_on_which_the_model_fails_is_a_line_too(
    settings: Settings, sessions: Sessions, artefacts: Artefacts
) -> None:
    seeing_model(sessions, artefacts, fails_on_white())
    white = np.full((32, 32, 3), 255, np.uint8)
    images = [*pictures(2, 4), white, *pictures(2, 5)]
    with run_client(settings) as client:
        lines = lines_of(client, [("a", encoded(image)) for image in images])
    assert [line["problem"] and line["problem"]["code"] for line in lines] == [None, None, "model-unusable", None, None]


def test_only_the_most_probable_classes(client: TestClient, seeing: str) -> None:
    image = encoded(pictures(1, 6)[0])
    (line,) = lines_of(client, [("a", image)], "?top_k=1")
    whole = client.post("/classify", content=image, headers=PNG).json()["probabilities"]
    best = max(whole, key=whole.__getitem__)
    assert line["classification"]["probabilities"] == {best: whole[best]}
    assert list(line["classification"]["temperature_scaled"]["probabilities"]) == [best]


def test_minimal_lines(client: TestClient, seeing: str) -> None:
    images = [("a", encoded(picture)) for picture in pictures(3, 6)] + [("b", b"no image")]
    *lines, last = lines_of(client, images, "?fields=minimal")
    whole = [line["classification"] for line in lines_of(client, images[:3])]
    assert [line["classification"] for line in lines] == [
        {
            "label": one["label"],
            "probability": {**one["probabilities"], "noise": one["noise_probability"]}[one["label"]],
            "rejected": one["rejected"],
            "reason": one["reason"],
        }
        for one in whole
    ]
    assert (last["classification"], last["problem"]["code"]) == (None, "invalid-image")


def test_another_model_by_its_id(client: TestClient, seeing: str, sessions: Sessions, artefacts: Artefacts) -> None:
    other, alone = stored_model(sessions, artefacts, seeing_onnx(2))
    picture = pictures(1, 7)[0]
    (line,) = lines_of(client, [("a", encoded(picture))], f"?model={other}")
    assert (line["classification"]["model"]["id"], line["classification"]["model"]["alias"]) == (other, None)
    expected = expected_of(alone, picture)
    assert_same({name: line["classification"][name] for name in expected}, expected)


@pytest.mark.parametrize(
    ("path", "request_", "status", "code", "words"),
    [
        ("", {"files": [("images", ("a", b"x"))] * 1001}, 400, "malformed", "Too many files"),
        ("", {"files": {"images": (None, "a field")}}, 422, "invalid-input", "images: is text, and no file"),
        (
            "",
            {"content": b"--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            422,
            "",
            "no files",
        ),
        ("", {"content": b"hello", "headers": {"Content-Type": "multipart/form-data"}}, 400, "malformed", "boundary"),
        ("", {"content": png_bytes(), "headers": PNG}, 415, "unsupported-media-type", "multipart/form-data"),
        ("", {"json": {"image": "AAAA"}}, 415, "unsupported-media-type", "multipart/form-data"),
        ("", {"content": b""}, 415, "unsupported-media-type", "without a Content-Type"),
        ("?model=nobody", {"files": as_form([("a", png_bytes())])}, 404, "not-found", "'nobody'"),
        ("?top_k=0", {"files": as_form([("a", png_bytes())])}, 422, "invalid-input", "top_k"),
        ("?max_false_reject=2", {"files": as_form([("a", png_bytes())])}, 422, "invalid-input", "max_false_reject"),
    ],
)
def test_forms_that_are_refused(
    shared_client: TestClient, path: str, request_: dict[str, Any], status: int, code: str, words: str
) -> None:
    answer = shared_client.post(f"/classify/batch{path}", **request_)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert code in answer.json()["code"]
    assert words in answer.json()["detail"]


def test_a_body_over_the_limit(settings: Settings, sessions: Sessions, artefacts: Artefacts) -> None:
    seeing_model(sessions, artefacts, seeing_onnx(1))
    image = encoded(pictures(1, 8)[0])
    few, many = [("a", image)] * 5, [("a", image)] * 40
    with run_client(settings.model_copy(update={"max_batch_bytes": 50_000})) as client:
        assert len(lines_of(client, few)) == 5
        body, content_type = form_of(many)
        for sent in (body, iter([body[:30_000], body[30_000:]])):
            answer = client.post("/classify/batch", content=sent, headers={"Content-Type": content_type})
            assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
            assert "50,000 bytes" in answer.json()["detail"]


def decided() -> float:
    outcomes = ("accepted", "rejected_noise", "rejected_low_confidence")
    return sum(measured("noisegate_decisions_total", outcome=outcome) for outcome in outcomes)


def test_lines_come_while_later_images_wait(settings: Settings, sessions: Sessions, artefacts: Artefacts) -> None:
    """300 images of some 10 ms each."""
    seeing_model(sessions, artefacts, seeing_onnx(1, channels=128, depth=20))
    body, content_type = form_of([(str(number), encoded(picture)) for number, picture in enumerate(pictures(300, 9))])
    with run_server(settings) as (_, port), peer(port) as opened:
        opened.classify(png_bytes())  # loads the model
        before = decided()
        opened.connection.request("POST", "/classify/batch", body, {"Content-Type": content_type})
        answer = opened.connection.getresponse()
        lines = [json.loads(answer.readline())]
        decided_by_then = decided() - before
        lines += [json.loads(line) for line in answer]
    assert [line["index"] for line in lines] == list(range(300))
    assert decided() - before == 300
    assert decided_by_then <= 200, "the first line was read before a third of the images had been classified"


def test_who_hangs_up_is_not_classified_to_the_end(
    settings: Settings, sessions: Sessions, artefacts: Artefacts
) -> None:
    seeing_model(sessions, artefacts, seeing_onnx(1, channels=128, depth=20))
    body, content_type = form_of([(str(number), encoded(picture)) for number, picture in enumerate(pictures(300, 9))])
    with run_server(settings) as (_, port):
        with peer(port) as opened:
            opened.classify(png_bytes())
            before = decided()
            opened.connection.request("POST", "/classify/batch", body, {"Content-Type": content_type})
            opened.connection.getresponse().readline()
        wait_until(lambda: measured("noisegate_classify_queue_depth") == 0, seconds=10, what="nobody waits")
        with peer(port) as another:
            assert another.classify(png_bytes()).status == 200
    assert decided() - before < 250


def test_batches_are_counted_in_and_out_however_they_end(
    settings: Settings, sessions: Sessions, artefacts: Artefacts
) -> None:
    """Room for one: each leaves it, be it refused, answered in lines or as a document."""
    with run_client(settings.model_copy(update={"max_batches": 1})) as client:
        seeing_model(sessions, artefacts, seeing_onnx(1))
        files = as_form([("a.png", png_bytes())])
        for _ in range(2):
            statuses = [
                client.post("/classify/batch", files=files).status_code,
                client.post("/classify/batch", files=files, headers={"Accept": "application/json"}).status_code,
                client.post("/classify/batch?model=nobody", files=files).status_code,
                client.post("/classify/batch", content=b"x", headers=PNG).status_code,
            ]
            assert statuses == [200, 200, 404, 415]
        batches = client.app_state["resources"].classifiers.batches
        batches.enter()
        full = client.post("/classify/batch", files=files)
        assert (full.status_code, full.headers["Retry-After"], full.json()["code"]) == (429, "1", "busy")
        batches.leave()
        assert client.post("/classify/batch", files=files).status_code == 200


def test_a_document_has_the_lines(client: TestClient, seeing: str) -> None:
    files = [("a.png", png_bytes()), ("b\u2028.txt", b"no image")]
    answer = client.post("/classify/batch", files=as_form(files), headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    first, second = answer.json()["items"]
    assert (first["index"], first["problem"]) == (0, None)
    assert (second["classification"], second["problem"]["code"]) == (None, "invalid-image")
