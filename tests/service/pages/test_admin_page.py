"""What an installation's keeper sees and may do."""

import pytest
from starlette.testclient import TestClient

from tests.conftest import wait_until
from tests.service.pages.conftest import HTML, House, Parsed


def shown(house: House, who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {house.tokens[who]}"}


def test_keys_are_listed_without_their_secrets(house: House) -> None:
    page = Parsed(house.get("/ui/admin", "admin").text)
    for token in house.tokens.values():
        _, id, secret = token.split("_", 2)
        assert id in page.text
        assert secret not in page.text


def test_a_key_is_made_shown_once_and_revoked(house: House) -> None:
    wanted = {"owner": "eve", "scopes": ["read"], "days": 1, "note": "for a test"}
    made = house.client.post("/ui/admin/keys", json=wanted, headers=shown(house, "admin"))
    assert made.status_code == 201, made.text
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    wait_until(lambda: house.client.get("/models", headers=key).status_code == 200, seconds=5, what="it opens")
    assert made.json()["key"] not in house.get("/ui/admin", "admin").text
    gone = house.client.delete(f"/ui/admin/keys/{made.json()['id']}", headers=shown(house, "admin"))
    assert gone.status_code == 204
    wait_until(lambda: house.client.get("/models", headers=key).status_code == 401, seconds=5, what="it is closed")


@pytest.mark.parametrize(
    "wanted",
    [
        {"owner": "eve", "scopes": []},
        {"owner": "", "scopes": ["read"]},
        {"owner": "eve", "scopes": ["root"]},
        {"owner": "eve", "scopes": ["read"], "days": 0},
        {"owner": "eve", "scopes": ["read"], "secret": "x"},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(house: House, wanted: dict[str, object]) -> None:
    assert house.client.post("/ui/admin/keys", json=wanted, headers=shown(house, "admin")).status_code == 422


def test_nobody_else_makes_keys(house: House, client: TestClient) -> None:
    wanted = {"owner": "eve", "scopes": ["admin"]}
    for who in ("ada", "train", "read"):
        assert house.client.post("/ui/admin/keys", json=wanted, headers=shown(house, who)).status_code == 403
        assert house.client.delete("/ui/admin/keys/x", headers=shown(house, who)).status_code == 403
    assert house.client.post("/ui/admin/keys", json=wanted).status_code == 401
    # Where no key is needed, anyone who reaches the service could keep a way in for the time when one is.
    assert client.get("/ui/admin", headers=HTML).status_code == 200
    refused = client.post("/ui/admin/keys", json=wanted)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_what_could_be_removed_is_told_and_stays(house: House) -> None:
    orphan = house.client.app_state["resources"].artefacts.put_bytes(b"nobody names this")
    page = Parsed(house.get("/ui/admin/gc", "admin").text)
    assert "files" in page.text
    assert house.client.app_state["resources"].artefacts.read(orphan) == b"nobody names this"
