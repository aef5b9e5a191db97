"""Every operation of the OpenAPI document, asked without a key, with a wrong one, with each scope, and by another owner.

The document names the operations, so one that is new is asked too: where nothing here says what it answers to another owner, it
has to answer 404.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.store import executions, experiments, keys, models, workers
from noisegate.store.artefacts import Artefacts
from noisegate.store.keys import Scope
from noisegate.store.settings import Settings
from service.access import PUBLIC
from service.app import create_app
from tests.conftest import wait_until
from tests.factories import claim_one, outcome, queued_experiment, spec
from tests.service.conftest import run_client, settings_in
from tests.service.factories import png_bytes, ready_dataset, served_model

# Written out, as the document says only what the code does. A new operation has to be entered here.
SCOPES = {
    None: ["GET /", "GET /livez", "GET /readyz", "GET /v2", "GET /v2/health/live", "GET /v2/health/ready"],
    "classify": [
        "POST /classify",
        "POST /classify/batch",
        "POST /hybrids",
        "GET /v2/models/{name}",
        "GET /v2/models/{name}/config",
        "GET /v2/models/{name}/ready",
        "GET /v2/models/{name}/stats",
        "GET /v2/models/{name}/versions/{version}",
        "GET /v2/models/{name}/versions/{version}/config",
        "GET /v2/models/{name}/versions/{version}/ready",
        "GET /v2/models/{name}/versions/{version}/stats",
        "GET /v2/models/stats",
        "POST /v2/repository/index",
        "POST /v2/models/{name}/infer",
        "POST /v2/models/{name}/versions/{version}/infer",
    ],
    "train": [
        "POST /datasets",
        "DELETE /datasets/{reference}",
        "POST /experiments",
        "POST /experiments/{experiment_id}/cancel",
        "DELETE /experiments/{experiment_id}",
        "DELETE /models/{reference}",
        "PUT /models/{reference}/decision",
        "DELETE /models/{reference}/decision",
        "PUT /aliases/{name}",
        "DELETE /aliases/{name}",
    ],
    "read": [
        "GET /datasets",
        "GET /datasets/{reference}",
        "GET /datasets/{reference}/images/{split}/{index}.png",
        "GET /datasets/{reference}/images/{split}/{index}/thumbnail.jpg",
        "GET /datasets/{reference}/export.zip",
        "GET /datasets/{reference}/report",
        "GET /experiments",
        "GET /experiments/{experiment_id}",
        "GET /experiments/{experiment_id}/events",
        "GET /experiments/{experiment_id}/executions",
        "GET /experiments/{experiment_id}/samples",
        "GET /experiments/{experiment_id}/samples/confusion",
        "GET /experiments/{experiment_id}/samples/confusion.{format}",
        "GET /experiments/{experiment_id}/samples/data-map.{format}",
        "GET /experiments/{experiment_id}/samples/sheet.{format}",
        "GET /results/{experiment_id}",
        "GET /results/{experiment_id}/curves",
        "GET /results/{experiment_id}/answers",
        "GET /results/{experiment_id}/confusion",
        "GET /results/{experiment_id}/losses",
        "GET /results/{experiment_id}/open_set",
        "GET /results/{experiment_id}/samples.parquet",
        "GET /results/{experiment_id}/figures",
        "GET /results/{experiment_id}/figures/{name}.{format}",
        "GET /models",
        "GET /models/{reference}",
        "GET /models/{reference}/card",
        "GET /models/{reference}/decision",
        "GET /models/{reference}/decision/coverage",
        "GET /models/{reference}/files/{name}",
        "GET /aliases",
        "GET /metrics",
        "GET /noise/preview.png",
        "GET /backbones",
        "GET /backbones/{name}",
        "GET /presets",
        "GET /presets/{name}",
        "GET /workers",
    ],
}
METHODS = {"get", "post", "put", "delete"}
OPERATIONS = [
    (method.upper(), path)
    for path, operations in create_app(Settings()).openapi()["paths"].items()
    for method in operations
    if method in METHODS
]
# Lists, which leave out what is another's (below), what is nobody's in particular, and what makes something new.
_SHARED = (
    "/datasets",
    "/experiments",
    "/models",
    "/aliases",
    "/workers",
    "/presets",
    "/presets/{name}",
    "/backbones",
    "/backbones/{name}",
    "/metrics",
    "/v2/models/stats",
)
ALLOWED_TO_ANOTHER = {
    **{("GET", path): {200} for path in _SHARED},
    ("GET", "/noise/preview.png"): {409},  # the digits, which it is drawn on, have not been ingested here
    ("POST", "/datasets"): {200, 202},
    ("POST", "/v2/repository/index"): {200},
    ("POST", "/experiments"): {422},  # there is no such dataset
}


@dataclass(frozen=True)
class House:
    """A service that asks for keys, and things in it that are Ada's."""

    client: TestClient
    tokens: dict[str, str]
    ids: dict[str, str]

    def ask(self, method: str, path: str, token: str | None) -> int:
        """The status of the answer to a request that would be right if it were Ada's."""
        body = self._body(method, path)
        headers = body.pop("headers", {}) | ({} if token is None else _shown(token))
        return self.client.request(method, self.filled(path), headers=headers, **body).status_code

    def filled(self, path: str) -> str:
        room = path.split("/")[1]
        values = {
            "experiment_id": self.ids["experiment"],
            "reference": self.ids["dataset" if room == "datasets" else "model"],
            "split": "train",
            "index": "0",
            "format": "svg",
            "version": self.ids["version"],
            "name": {"aliases": "default", "presets": "table-3", "backbones": "resnet18", "results": "accuracy"}.get(
                room, self.ids["model"]
            ),
        }
        if "/files/" in path:
            values["name"] = "model.json"
        return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path)

    def _body(self, method: str, path: str) -> dict[str, Any]:
        if method not in ("POST", "PUT") or path.endswith("/cancel"):
            return {}
        picture = png_bytes()
        if path == "/v2/repository/index":
            return {"json": {}}
        if path.startswith("/v2/"):
            pixels = {"name": "images", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": [0] * 3072}
            return {"json": {"inputs": [pixels]}}
        match path:
            case "/classify":
                return {"content": picture, "headers": {"Content-Type": "image/png"}}
            case "/classify/batch":
                return {"files": [("images", ("a.png", picture, "image/png"))]}
            case "/hybrids":
                return {"files": {"low": ("a.png", picture, "image/png"), "high": ("b.png", picture, "image/png")}}
            case "/aliases/{name}":
                return {"json": {"model": self.ids["model"]}}
            case "/models/{reference}/decision":
                return {"json": {"scores": [{"score": "knn"}]}}
            case "/datasets":
                return {"json": {"source": "digits"}}
            case _:
                return {"json": {"dataset": self.ids["dataset"], "executions": 1}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, broker_url: str) -> Iterator[House]:
    settings = settings_in(tmp_path_factory.mktemp("house") / "data", migrated_database, broker_url)
    settings = settings.model_copy(update={"authentication": "required", "failures_per_minute": 1_000_000})
    artefacts = Artefacts(settings.artefact_root)
    with run_client(settings) as client:
        sessions = client.app_state["resources"].sessions
        adas = sessions.of("ada")
        with adas.begin() as session:
            dataset = ready_dataset(session, artefacts).id
        model = served_model(adas, artefacts)
        with sessions.begin() as session:
            row = models.get(session, model)
            ids = {"dataset": dataset, "model": model, "experiment": row.experiment_id, "version": row.onnx_digest}
            tokens = {scope.value: keys.create(session, owner="ada", scopes=[scope])[0] for scope in Scope}
            some = [scope for scope in Scope if scope is not Scope.ADMIN]
            tokens["bob"] = keys.create(session, owner="bob", scopes=some)[0]
            tokens["expired"] = keys.create(session, owner="ada", scopes=list(Scope), days=-1)[0]
        made = House(client, tokens, ids)
        wait_until(lambda: made.ask("GET", "/models", tokens["bob"]) == 200, seconds=10, what="the keys open")
        yield made


def test_each_operation_takes_the_scope_that_was_meant_for_it(house: House) -> None:
    paths = house.client.get("/openapi.json").json()["paths"]
    documented = {f"{method} {path}": paths[path][method.lower()].get("x-scope") for method, path in OPERATIONS}
    assert documented == {operation: scope for scope, operations in SCOPES.items() for operation in operations}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_a_key_and_with_a_wrong_one(house: House, method: str, path: str) -> None:
    right = house.tokens["admin"]
    wrong = [None, "", "nonsense", right[:-1] + ("a" if right[-1] != "a" else "b"), f"ng_{'0' * 12}_{'a' * 43}"]
    statuses = {house.ask(method, path, token) for token in [*wrong, house.tokens["expired"]]}
    assert statuses == {401} or (path in PUBLIC and not statuses & {401, 403})


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in OPERATIONS if path not in PUBLIC])
def test_another_scope_and_another_owner(house: House, method: str, path: str) -> None:
    documented = house.client.get("/openapi.json").json()["paths"][path][method.lower()]
    needed = documented["x-scope"]
    assert documented["security"] == [{"key": []}]
    assert {"401", "403", "429"} <= set(documented["responses"])

    others = [scope.value for scope in Scope if scope.value not in (needed, "admin")]
    assert {house.ask(method, path, house.tokens[scope]) for scope in others} == {403}

    of_bob = house.ask(method, path, house.tokens["bob"])
    if (method, path) in ALLOWED_TO_ANOTHER:
        assert of_bob in ALLOWED_TO_ANOTHER[method, path]
    else:
        assert of_bob == 404


def test_the_owner_may_what_another_may_not(house: House) -> None:
    for path in (
        "/experiments/{experiment_id}",
        "/datasets/{reference}",
        "/models/{reference}",
        "/results/{experiment_id}",
    ):
        assert house.ask("GET", path, house.tokens["read"]) == 200
        assert house.ask("GET", path, house.tokens["admin"]) == 200
    assert house.ask("POST", "/classify", house.tokens["classify"]) == 200
    assert house.ask("POST", "/classify", house.tokens["admin"]) == 200


def test_lists_leave_out_what_is_anothers(house: House) -> None:
    def listed(path: str, token: str) -> str:
        return house.client.get(path, headers={"Authorization": f"Bearer {token}"}).text

    for path in ("/datasets", "/experiments", "/models", "/aliases", "/workers"):
        seen = listed(path, house.tokens["bob"])
        assert not [id for id in house.ids.values() if id in seen], path
    for kind, path in (
        ("dataset", "/datasets"),
        ("experiment", "/experiments"),
        ("model", "/models"),
        ("model", "/aliases"),
    ):
        assert house.ids[kind] in listed(path, house.tokens["read"])
        assert house.ids[kind] in listed(path, house.tokens["admin"])


def test_the_protocols_lists_leave_out_what_is_anothers(house: House) -> None:
    assert house.ask("POST", "/classify", house.tokens["classify"]) == 200

    def listed(who: str) -> tuple[bool, bool]:
        headers = _shown(house.tokens[who])
        index = house.client.post("/v2/repository/index", headers=headers).text
        return house.ids["model"] in index, "default" in house.client.get("/v2/models/stats", headers=headers).text

    assert listed("classify") == listed("admin") == (True, True)
    assert listed("bob") == (False, False)


def test_workers_show_an_execution_to_its_owner_alone(house: House) -> None:
    resources = house.client.app_state["resources"]
    with resources.sessions.of("ada").begin() as session:
        experiment = queued_experiment(session, spec(executions=1, sweep={})).id
    with resources.sessions.begin() as session:
        workers.beat(session, "w1", host="h", device="cpu", processes=1, version="0")
        execution, lease = claim_one(session, owner="w1/1")
    assert execution.experiment_id == experiment

    def shown(who: str) -> str:
        return house.client.get("/workers", headers=_shown(house.tokens[who])).text

    assert (execution.id in shown("read"), execution.id in shown("admin"), execution.id in shown("bob")) == (
        True,
        True,
        False,
    )
    with resources.sessions.begin() as session:
        executions.record_success(session, lease, outcome())


def test_what_is_everybodys_is_used_by_all_and_changed_by_an_admin_alone(house: House) -> None:
    """Where keys came later, all that was there before is everybody's."""
    resources = house.client.app_state["resources"]
    with resources.sessions.begin() as session:
        ready_dataset(session, resources.artefacts, "shared", number=5)
        spare = ready_dataset(session, resources.artefacts, "spare", number=6).id
    model, other = (served_model(resources.sessions, resources.artefacts, dataset="shared") for _ in range(2))
    with resources.sessions.begin() as session:
        models.point_alias(session, "everybodys", model)
        waiting = queued_experiment(session, spec("shared", executions=1, sweep={})).id
    changes: list[tuple[str, str, Any]] = [
        ("POST", f"/experiments/{waiting}/cancel", None),
        ("PUT", "/aliases/everybodys", {"model": other}),
        ("DELETE", "/aliases/everybodys", None),
        ("DELETE", f"/models/{model}", None),
        ("DELETE", f"/experiments/{waiting}", None),
        ("DELETE", f"/datasets/{spare}", None),
    ]

    def status(who: str, method: str, path: str, json: Any = None) -> int:
        return house.client.request(method, path, json=json, headers=_shown(house.tokens[who])).status_code

    assert status("read", "GET", f"/models/{model}") == status("read", "GET", "/models/everybodys") == 200
    assert [status("train", *change) for change in changes] == [403] * len(changes)
    assert status("train", "DELETE", f"/experiments/{waiting}?dry_run=true") == 403
    assert [status("admin", *change) for change in changes] == [202, 200, 204, 200, 200, 204]


def test_a_model_of_another_owner_is_not_even_loaded(house: House) -> None:
    resources = house.client.app_state["resources"]
    model = served_model(resources.sessions.of("ada"), resources.artefacts)
    with resources.sessions.of("ada").begin() as session:
        row = models.point_alias(session, "lost", model)
        resources.artefacts.delete(models.get(session, model).onnx_digest)
    assert row.owned_by == "ada"

    def answer(who: str, path: str) -> tuple[int, bool]:
        found = house.client.post(
            path, content=png_bytes(), headers=_shown(house.tokens[who]) | {"Content-Type": "image/png"}
        )
        return found.status_code, model in found.text

    assert answer("classify", "/classify?model=lost") == (500, True)
    assert answer("bob", "/classify?model=lost") == (404, False)
    assert house.client.get("/v2/models/lost/ready", headers=_shown(house.tokens["bob"])).status_code == 404


def test_an_alias_of_another_owner_for_a_shared_model_is_no_name(house: House) -> None:
    resources = house.client.app_state["resources"]
    with resources.sessions.begin() as session:
        ready_dataset(session, resources.artefacts, "for-all", number=8)
    model = served_model(resources.sessions, resources.artefacts, dataset="for-all")
    with resources.sessions.of("bob").begin() as session:
        models.point_alias(session, "bobs", model)
    headers = _shown(house.tokens["classify"]) | {"Content-Type": "image/png"}
    for name, status in (("bobs", 404), (model, 200)):
        assert house.client.post(f"/classify?model={name}", content=png_bytes(), headers=headers).status_code == status


def test_another_owner_may_have_the_same_names_and_the_same_idempotency_key(house: House) -> None:
    sessions = house.client.app_state["resources"].sessions
    with sessions.of("bob").begin() as session:
        theirs = ready_dataset(session, house.client.app_state["resources"].artefacts, number=7).id
    post = {"dataset": "pets", "executions": 1, "training": {"epochs": 1}}
    answers = {
        who: house.client.post(
            "/experiments",
            json=post,
            headers={"Authorization": f"Bearer {house.tokens[who]}", "Idempotency-Key": "one"},
        )
        for who in ("train", "bob")
    }
    assert [answer.status_code for answer in answers.values()] == [202, 202]
    used = {}
    with sessions.reading() as session:
        for who, answer in answers.items():
            used[who] = experiments.get(session, answer.json()["id"])
            assert used[who].owned_by == {"train": "ada", "bob": "bob"}[who]
    assert (used["train"].dataset_id, used["bob"].dataset_id) == (house.ids["dataset"], theirs)


def test_files_that_another_owner_needs_stay(house: House) -> None:
    """Two owners sent the same images: the files are one, and go only with the last of them."""
    resources = house.client.app_state["resources"]
    with resources.sessions.of("ada").begin() as session:
        ours = ready_dataset(session, resources.artefacts, "same", number=9)
    with resources.sessions.of("bob").begin() as session:
        theirs = ready_dataset(session, resources.artefacts, "same", number=9)
    assert (ours.images_digest, ours.same_as, theirs.same_as) == (theirs.images_digest, None, None)
    assert house.client.delete(f"/datasets/{theirs.id}", headers=_shown(house.tokens["bob"])).status_code == 204
    assert resources.artefacts.path(ours.images_digest).exists()
    assert house.client.delete(f"/datasets/{ours.id}", headers=_shown(house.tokens["train"])).status_code == 204
    assert not resources.artefacts.path(ours.images_digest).exists()


def test_a_revoked_key_opens_nothing_any_more(house: House) -> None:
    sessions = house.client.app_state["resources"].sessions
    with sessions.begin() as session:
        token, row = keys.create(session, owner="ada", scopes=[Scope.READ])
    wait_until(lambda: house.ask("GET", "/models", token) == 200, seconds=10, what="the new key opens")
    with sessions.begin() as session:
        keys.revoke(session, row.id)
    wait_until(lambda: house.ask("GET", "/models", token) == 401, seconds=10, what="the revoked key does not")


def _shown(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
