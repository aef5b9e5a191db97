"""No route takes a parameter that it does not have: every route of the OpenAPI document, so that a new one cannot forget it."""

import gzip
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.service.factories import png_bytes

PNG = {"Content-Type": "image/png"}


def operations(client: TestClient) -> list[tuple[str, str, list[str]]]:
    """Method, path and the names of the query's parameters."""
    return [
        (method.upper(), path, [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"])
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method, operation in methods.items()
    ]


def errors_of(answer: httpx2.Response) -> dict[str, tuple[str, str]]:
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    return {error["field"]: (error["message"], error["remedy"]) for error in answer.json()["errors"]}


def test_every_route_refuses_parameters_that_it_does_not_have(shared_client: TestClient) -> None:
    found = operations(shared_client)
    assert len(found) > 40
    for method, path, names in found:
        wanted = path.replace("{", "").replace("}", "")
        near = f"{names[0]}x" if names else "limit"
        errors = errors_of(shared_client.request(method, wanted, params={"no_such_thing": "1", near: "1"}))
        assert set(errors) == {"no_such_thing", near}, (method, path)
        assert errors[near][0] == "is no parameter of this path"
        assert errors[near][1] == (
            f"Did you mean {names[0]}? There are: {', '.join(sorted(names))}." if names else "There are none here."
        )


def test_a_parameter_twice_is_refused(shared_client: TestClient) -> None:
    for answer in (
        shared_client.get("/experiments?limit=1&limit=2"),
        shared_client.post("/classify?top_k=1&top_k=2", content=png_bytes(), headers=PNG),
    ):
        ((field, (message, remedy)),) = errors_of(answer).items()
        assert (message, remedy) == ("is given more than once", "Give it once.")
        assert field in ("limit", "top_k")


def test_parameters_that_there_are_are_taken(shared_client: TestClient) -> None:
    assert shared_client.get("/experiments?limit=1&state=queued").status_code == 200
    assert shared_client.get("/noise/preview.png?family=uniform&seed=1").status_code == 200
    answer = shared_client.post("/classify?top_k=1&max_false_reject=0.2", content=png_bytes(), headers=PNG)
    assert answer.status_code == 200
    assert len(answer.json()["probabilities"]) == 1


@pytest.mark.parametrize(
    ("path", "file", "field"),
    [
        ("/classify", "image", "max_false_reject"),
        ("/classify/batch", "images", "max_false_reject"),
        ("/hybrids", "low", "max_false_reject"),
        ("/datasets", "archive", "image_size"),
    ],
)
def test_a_form_has_no_other_fields(shared_client: TestClient, path: str, file: str, field: str) -> None:
    def send(data: dict[str, Any]) -> dict[str, tuple[str, str]]:
        files = {file: ("a.png", png_bytes(), "image/png")}
        return errors_of(shared_client.post(path, files=files, data=data))

    assert send({field: "0.9"}) == {
        field: ("is a field of the form, and belongs in the query", f"Give ?{field}=… in the URL.")
    }
    errors = send({field: "0.9", f"{field}s": "1", "colour": "red"})
    assert set(errors) == {field, f"{field}s", "colour"}
    assert errors[f"{field}s"][1].startswith(f"Did you mean {field}? ")
    assert errors["colour"][0] == "is no field of this path"


@pytest.mark.parametrize("path", ["/classify", "/classify/batch", "/experiments", "/datasets", "/hybrids"])
def test_a_compressed_body_is_refused_and_not_taken_for_something_else(shared_client: TestClient, path: str) -> None:
    def send(coding: str) -> httpx2.Response:
        return shared_client.post(path, content=gzip.compress(png_bytes()), headers=PNG | {"Content-Encoding": coding})

    refused = send("gzip")
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported-media-type")
    assert "Content-Encoding" in refused.json()["remedy"]
    assert refused.headers["accept-encoding"] == "identity"
    assert "Content-Encoding" not in str(send("identity").json().get("remedy"))
