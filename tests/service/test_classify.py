import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from noisegate.manifest import Calibration
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.classify.schemas import Classification, MinimalClassification
from tests.conftest import wait_until
from tests.service.conftest import run_client
from tests.service.factories import png_bytes, served_model

PNG = {"Content-Type": "image/png"}


def untimed(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from one request to the next."""
    assert answer["timing"].keys() == {"batch_size", "decode_ms", "queue_ms", "predict_ms"}
    return {name: value for name, value in answer.items() if name != "timing"}


def test_every_way_in_gives_the_same_decision(client: TestClient, model: str) -> None:
    image = png_bytes()
    answers = [
        client.post("/classify", content=image, headers=PNG),
        client.post("/classify", content=image, headers={"Content-Type": "Application/Octet-Stream; charset=binary"}),
        client.post("/classify", content=iter([image[:10], image[10:]]), headers={"Content-Type": "image/webp"}),
        client.post("/classify", files={"image": ("a.txt", image)}),
        client.post("/classify", json={"image": base64.b64encode(image).decode()}),
    ]
    assert {answer.status_code for answer in answers} == {200}
    first, *others = [untimed(answer.json()) for answer in answers]
    assert all(other == first for other in others)
    # e⁵ / (1 + e⁵) = 0.993307, so the reject score is 0.0067, below the threshold of 0.9.
    assert first["label"] == "dog"
    assert first["probabilities"]["dog"] == pytest.approx(0.993307, abs=1e-6)
    assert (first["rejected"], first["threshold"], first["max_false_reject"]) == (False, 0.9, 0.05)
    assert (first["model"]["id"], first["model"]["alias"]) == (model, "default")


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        *(("GIF", "image/gif"), ("BMP", "image/bmp"), ("BMP", "image/x-ms-bmp"), ("TIFF", "image/tiff")),
        *(("AVIF", "image/avif"), ("JPEG2000", "image/jp2")),
    ],
)
@pytest.mark.usefixtures("model")
def test_every_kind_of_image_has_a_content_type(client: TestClient, kind: str, content_type: str) -> None:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((9, 9)).save(file, kind)
    raw = client.post("/classify", content=file.getvalue(), headers={"Content-Type": content_type})
    form = client.post("/classify", files={"image": ("a", file.getvalue(), content_type)})
    assert (raw.status_code, untimed(raw.json())) == (200, untimed(form.json()))
    assert content_type in client.get("/openapi.json").json()["paths"]["/classify"]["post"]["requestBody"]["content"]


@pytest.mark.parametrize("query", ["", "?top_k=1", "?max_false_reject=0"])
def test_what_is_answered_is_a_classification(client: TestClient, model: str, query: str) -> None:
    """The JSON is put together by hand; this is what it has to be."""
    answer = client.post(f"/classify{query}", content=png_bytes(), headers=PNG)
    found = Classification.model_validate_json(answer.content)
    assert json.loads(found.model_dump_json()) == answer.json()
    # No rule is set on the model, and none was asked for.
    assert answer.json().keys() == Classification.model_fields.keys() - {"rule"}


@pytest.mark.parametrize(
    ("budget", "rejected", "reason"), [("", False, None), ("&max_false_reject=1", True, "low_confidence")]
)
@pytest.mark.usefixtures("model")
def test_a_minimal_answer_says_what_is_to_be_done(
    client: TestClient, budget: str, rejected: bool, reason: str | None
) -> None:
    whole = client.post(f"/classify?model=default{budget}", content=png_bytes(), headers=PNG).json()
    answer = client.post(f"/classify?fields=minimal{budget}", content=png_bytes(), headers=PNG)
    assert MinimalClassification.model_validate_json(answer.content)
    probability = whole["probabilities"]["dog"]
    assert answer.json() == {"label": "dog", "probability": probability, "rejected": rejected, "reason": reason}


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("query", "field"), [("fields=minimal&top_k=1", "top_k"), ("fields=label", "fields"), ("fields=", "fields")]
)
def test_a_minimal_answer_takes_no_more_than_it_can_say(client: TestClient, query: str, field: str) -> None:
    for _ in range(2):  # what was asked before is remembered
        answer = client.post(f"/classify?{query}", content=png_bytes(), headers=PNG)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text


def test_the_model_by_id_and_the_threshold_by_request(client: TestClient, model: str) -> None:
    answer = client.post(f"/classify?model={model}&max_false_reject=1", content=png_bytes(), headers=PNG).json()
    assert (answer["model"]["id"], answer["model"]["alias"]) == (model, None)
    # The lowest quantile, 0, rejects all that is not certain.
    assert (answer["threshold"], answer["rejected"], answer["reason"]) == (0.0, True, "low_confidence")


def test_a_moved_alias_is_followed(client: TestClient, model: str, sessions: Sessions, artefacts: Artefacts) -> None:
    noisy = served_model(sessions, artefacts, logits=[0, 0, 9])
    assert client.post("/classify", content=png_bytes(), headers=PNG).json()["model"]["id"] == model
    client.put("/aliases/default", json={"model": noisy})

    def follows() -> bool:
        answer = client.post("/classify", content=png_bytes(), headers=PNG).json()
        return bool(answer["model"]["id"] == noisy and answer["reason"] == "noise")

    wait_until(follows, seconds=3, what="/classify uses the new model")


@pytest.mark.parametrize(
    ("request_", "status", "code", "words"),
    [
        ({"content": b"hello", "headers": PNG}, 422, "invalid-image", "the image is text"),
        ({"files": {"image": ("a.png", b"hello")}}, 422, "invalid-image", "is text"),
        ({"content": b"", "headers": PNG}, 422, "invalid-image", "is empty"),
        ({"json": {"image": ""}}, 422, "invalid-image", "is empty"),
        ({"json": {"image": "data:image/png;base64,AAAA"}}, 422, "invalid-image", "is not base64"),
        ({"json": {"image": "AAA"}}, 422, "invalid-image", "is not base64"),
        ({"json": {"image": "äöü="}}, 422, "invalid-image", "is not base64"),
        ({"json": {"image": 5}}, 422, "invalid-input", "valid string"),
        ({"json": {}}, 422, "invalid-input", "image"),
        ({"json": {"image": "AAAA", "colour": 1}}, 422, "invalid-input", "colour"),
        ({"files": {"picture": ("a.png", png_bytes())}}, 422, "invalid-input", "picture: is no field"),
        ({"files": {"image": ("a", b"x"), "other": ("b", b"x")}}, 400, "malformed", "Too many files"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed", "not valid JSON"),
        (
            {"content": b"<svg/>", "headers": {"Content-Type": "image/svg+xml"}},
            415,
            "unsupported-media-type",
            "image/webp",
        ),
        ({"content": png_bytes()}, 415, "unsupported-media-type", "without a Content-Type"),
    ],
)
def test_wrong_bodies(shared_client: TestClient, request_: dict[str, Any], status: int, code: str, words: str) -> None:
    answer = shared_client.post("/classify", **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/classify", "/hybrids", "/v2/models/default/infer"])
def test_a_body_with_a_great_many_members_is_refused_at_once(shared_client: TestClient, path: str) -> None:
    """Each would be an error of its own: 40,000 took more than a second and made an answer of megabytes."""
    body = "{" + ",".join(f'"{number}":0' for number in range(40_000)) + "}"
    answer = shared_client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, "1,000 members" in answer.json()["detail"]) == (422, True)


def test_of_many_wrong_fields_some_are_named_and_the_rest_counted(shared_client: TestClient) -> None:
    answer = shared_client.post("/classify", json={"image": "AAAA"} | {f"wrong_{number}": 0 for number in range(500)})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 20
    assert answer.json()["detail"].endswith("; and 480 more")


@pytest.mark.parametrize("share", ["-0.01", "1.01", "nan", "inf", "half"])
def test_wrong_shares(shared_client: TestClient, share: str) -> None:
    answer = shared_client.post(f"/classify?max_false_reject={share}", content=png_bytes(), headers=PNG)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["max_false_reject"]


def test_a_budget_that_the_holdout_cannot_promise_is_refused_everywhere(
    client: TestClient, model: str, sessions: Sessions, artefacts: Artefacts
) -> None:
    """And nobody else's image with it. Of 12 holdout images two are called noise: 2/12 + 1/13 is 0.2436."""
    promise = Calibration(samples=12, quantiles=[0.0, 0.5, 0.9], called_noise=2)
    id = served_model(sessions, artefacts, calibration=promise)
    image = png_bytes()
    tensor = {"name": "images", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(image).decode()]}
    pair = {"low": base64.b64encode(image).decode(), "high": base64.b64encode(image).decode()}

    def ask(budget: float | None) -> list[Any]:
        query = f"?model={id}" + ("" if budget is None else f"&max_false_reject={budget}")
        parameters = {} if budget is None else {"max_false_reject": budget}
        return [
            client.post(f"/classify{query}", content=image, headers=PNG),
            client.post(f"/classify/batch{query}", files={"images": ("a.png", image)}),
            client.post(f"/hybrids{query}", json=pair),
            client.post(f"/v2/models/{id}/infer", json={"inputs": [tensor], "parameters": parameters}),
        ]

    for answer in ask(0.05):
        problem = answer.json()
        assert answer.status_code == 422, answer.text
        assert problem["errors"][0]["field"] == "max_false_reject"
        assert "12 holdout images, 2 of which it calls noise" in problem["detail"]
        assert "Ask for 0.2436 or more" in problem["errors"][0]["remedy"]
    assert [answer.status_code for answer in ask(0.2436)] == [200] * 4
    classified, batch, hybrid, inferred = ask(None)
    assert classified.json()["max_false_reject"] == 0.2436
    assert "12 holdout images" in classified.json()["note"]
    assert json.loads(batch.text)["classification"]["max_false_reject"] == 0.2436
    assert hybrid.json()["hybrid"]["max_false_reject"] == 0.2436
    assert inferred.json()["parameters"]["max_false_reject"] == 0.2436
    # The model before it is of the time when thresholds covered themselves alone.
    assert client.post("/classify?max_false_reject=0.01", content=image, headers=PNG).status_code == 200
    promises = [client.get(f"/models/{one}").json()["promise"] for one in (model, id)]
    assert promises == [
        {
            "source": "holdout",
            "covers": "threshold",
            "holdout_images": 10,
            "called_noise": None,
            "smallest_max_false_reject": 0.0,
        },
        {
            "source": "holdout",
            "covers": "rule",
            "holdout_images": 12,
            "called_noise": 2,
            "smallest_max_false_reject": 0.2436,
        },
    ]


@pytest.mark.parametrize(
    ("reference", "detail"),
    [("default", "there is no default model yet"), ("mod_nothing", "there is no model or alias 'mod_nothing'")],
)
def test_without_the_model(client: TestClient, reference: str, detail: str) -> None:
    answer = client.post(f"/classify?model={reference}", content=png_bytes(), headers=PNG)
    assert (answer.status_code, answer.json()["detail"]) == (404, detail)


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_over_the_limit(settings: Settings, chunked: bool) -> None:
    tight = settings.model_copy(update={"max_image_bytes": 100_000})
    # 1.4 times the image for base64, and 64 KiB around it.
    body = bytes(100_000 * 14 // 10 + 64 * 1024 + 1)

    def sent() -> bytes | Iterator[bytes]:
        return iter([body[:50_000], body[50_000:]]) if chunked else body

    with run_client(tight) as client:
        for content_type in ("image/png", "application/json", "multipart/form-data; boundary=x"):
            answer = client.post("/classify", content=sent(), headers={"Content-Type": content_type})
            assert (answer.status_code, answer.json()["code"]) == (413, "too-large"), content_type
            assert "205,536 bytes" in answer.json()["detail"]


def test_an_image_over_its_own_limit(settings: Settings, model: str) -> None:
    tight = settings.model_copy(update={"max_image_bytes": 100, "max_image_pixels": 1000})
    with run_client(tight) as client:
        long = client.post("/classify", content=bytes(101), headers=PNG)
        assert (long.status_code, long.json()["errors"][0]["field"]) == (413, "image")
    with run_client(tight.model_copy(update={"max_image_bytes": 10_000})) as client:
        wide = client.post("/classify", content=png_bytes(64), headers=PNG)
        assert (wide.status_code, "1,000" in wide.json()["detail"]) == (413, True)
