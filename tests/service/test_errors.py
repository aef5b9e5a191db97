from http import HTTPStatus

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate import errors
from noisegate.errors import FieldError, NoisegateError
from service.app import create_app
from service.errors import STATUSES, ModelUnusable, problem_of


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidInput("x"), 422, "invalid-input"),
        (errors.InvalidSpec([FieldError("a.b", "x")]), 422, "invalid-spec"),
        (errors.InvalidImage("x"), 422, "invalid-image"),
        (errors.InvalidArchive("x"), 422, "invalid-archive"),
        (errors.TooLarge("x"), 413, "too-large"),
        (errors.UnsupportedMedia("x"), 415, "unsupported-media-type"),
        (errors.NotFound("x"), 404, "not-found"),
        (errors.Conflict("x"), 409, "conflict"),
        (errors.NotReady("x", retry_after_seconds=3), 409, "not-ready"),
        (errors.QuotaExceeded("x", retry_after_seconds=3), 429, "quota-exceeded"),
        (errors.StorageFull("x"), 507, "storage-full"),
        (errors.SourceUnavailable("x"), 503, "source-unavailable"),
        (ModelUnusable("x"), 500, "model-unusable"),
        (sa.exc.OperationalError("SELECT secret", {}, OSError("secret")), 503, "database-away"),
        (sa.exc.IntegrityError("SELECT secret", {}, OSError("secret")), 409, "conflict"),
        (sa.exc.DataError("SELECT secret", {}, OSError("secret")), 422, "invalid-input"),
        (KeyError("secret"), 500, "unexpected"),
    ],
)
def test_every_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    problem = problem_of(error).model_dump()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:noisegate:problem:{code}"
    assert "secret" not in str(problem)


def test_no_error_class_is_without_a_status() -> None:
    def below(kind: type[NoisegateError]) -> set[type[NoisegateError]]:
        return {kind} | {found for child in kind.__subclasses__() for found in below(child)}

    for kind in below(NoisegateError) - {NoisegateError}:
        assert set(kind.__mro__) & set(STATUSES), kind


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/datasets/", 404), ("DELETE", "/aliases", 405), ("POST", "/livez", 405)],
)
def test_the_frameworks_errors_have_the_same_shape(
    shared_client: TestClient, method: str, path: str, status: int
) -> None:
    answer = shared_client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail", "code", "remedy", "worker", "errors"}
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/experiments", "GET, HEAD, POST"),
        ("/experiments/exp_1", "DELETE, GET, HEAD"),
        ("/experiments/exp_1/cancel", "POST"),
        ("/aliases/default", "DELETE, PUT"),
        ("/datasets/pets/images/train/0.png", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_all_that_are_right(shared_client: TestClient, path: str, methods: str) -> None:
    answer = shared_client.patch(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_an_unforeseen_error_gives_nothing_away(client: TestClient) -> None:
    def explode() -> None:
        raise RuntimeError("the secret")

    client.app.add_api_route("/explode", explode)  # type: ignore[attr-defined]
    answer = client.get("/explode")
    assert (answer.status_code, answer.json()["code"]) == (500, "unexpected")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b"[" * 200_000, 400),
        (b'{"seed": ' + b"1" * 5000 + b"}", 400),
        (b'{"\\ud800": 1}', 422),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"dataset": "x", "holdout": NaN}', 422),
    ],
)
def test_hostile_json(shared_client: TestClient, body: bytes, status: int) -> None:
    answer = shared_client.post("/experiments", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("method", "path"), [("POST", "/experiments"), ("PUT", "/aliases/a")])
def test_json_over_the_limit(shared_client: TestClient, method: str, path: str, chunked: bool) -> None:
    body = b" " * (256 * 1024 + 1)
    content = iter([body[:100_000], body[100_000:]]) if chunked else body
    answer = shared_client.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert "262,144 bytes" in answer.json()["detail"]


# Where 503 is an answer like any other.
READY = "/v2/models/{name}/ready", "/v2/models/{name}/versions/{version}/ready"
NOT_READY = {(path, "503") for path in ("/readyz", "/v2/health/ready", *READY)}


def test_every_route_documents_its_problems() -> None:
    document = create_app().openapi()
    assert "Problem" in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and (path, status) not in NOT_READY:
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
            # If-None-Match may be anything: what it does not understand is no tag of ours.
            if {found["name"] for found in operation.get("parameters", [])} - {"If-None-Match"}:
                assert str(HTTPStatus.UNPROCESSABLE_ENTITY.value) in operation["responses"], (method, path)
