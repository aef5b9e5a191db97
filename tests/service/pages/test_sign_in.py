"""Signing in: cookies that scripts and other websites get nothing from, and sessions that end when they should."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.store import browser_sessions, keys
from noisegate.store.browser_sessions import digest_of
from noisegate.store.keys import Scope
from noisegate.store.sessions import Sessions
from noisegate.store.tables import BrowserSession, utc_now
from service.app import create_app
from tests.conftest import wait_until
from tests.service.conftest import settings_in
from tests.service.pages.conftest import HTML, Parsed

ORIGIN = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}


class Door:
    """A service that asks for keys, and browsers before it."""

    def __init__(self, client: TestClient, sessions: Sessions) -> None:
        self.client = client
        self.sessions = sessions

    def key(self, owner: str = "ada", *scopes: Scope, days: float | None = None) -> str:
        with self.sessions.begin() as session:
            granted = scopes or (Scope.READ, Scope.CLASSIFY, Scope.TRAIN)
            token, row = keys.create(session, owner=owner, scopes=granted, days=days)
        shown = {"Authorization": f"Bearer {token}"}
        wait_until(lambda: self.client.get("/v2/models/x", headers=shown).status_code != 401, seconds=5, what=row.id)
        return token

    def sign_in(self, key: str, next: str = "/ui", **headers: str) -> httpx2.Response:
        self.client.cookies.clear()
        form = {"key": key, "next": next}
        return self.client.post("/ui/sign-in", data=form, headers=HTML | ORIGIN | headers, follow_redirects=False)

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(path, headers=HTML, follow_redirects=False)

    def csrf(self) -> str:
        (found,) = (meta for meta in Parsed(self.get("/ui").text).all("meta") if meta.get("name") == "csrf")
        return str(found["content"])

    def row(self) -> BrowserSession:
        with self.sessions.reading() as session:
            return session.scalars(sa.select(BrowserSession).order_by(BrowserSession.created_at.desc())).first()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, broker_url: str) -> Iterator[Door]:
    settings = settings_in(tmp_path_factory.mktemp("door") / "data", migrated_database, broker_url)
    changes = {"authentication": "required", "failures_per_minute": 1_000_000, "key_refresh_seconds": 0.05}
    with TestClient(create_app(settings.model_copy(update=changes)), "http://127.0.0.1") as client:
        yield Door(client, client.app_state["resources"].sessions)


@pytest.fixture(scope="module")
def key(door: Door) -> str:
    return door.key()


def test_a_page_leads_to_the_sign_in_and_back(door: Door, key: str) -> None:
    door.client.cookies.clear()
    sent = door.get("/ui/experiments")
    assert (sent.status_code, sent.headers["location"]) == (303, "/ui/sign-in?next=/ui/experiments")
    form = Parsed(door.get(sent.headers["location"]).text)
    assert [field.get("value") for field in form.all("input") if field.get("name") == "next"] == ["/ui/experiments"]
    answer = door.sign_in(key, "/ui/experiments")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/experiments")
    assert door.get("/ui/experiments").status_code == 200
    assert "ada" in Parsed(door.get("/ui").text).text


def test_the_cookie_is_for_this_service_and_for_no_script(door: Door, key: str) -> None:
    answer = door.sign_in(key)
    name, *flags = answer.headers["set-cookie"].split("; ")
    assert re.fullmatch(r"noisegate=[\w-]{43}", name)
    assert {"Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"} == set(flags)
    token = name.partition("=")[2]
    with door.sessions.reading() as session:
        rows = session.execute(sa.text("SELECT * FROM browser_sessions")).all()
    assert token not in str(rows)
    assert digest_of(token) in str(rows)


def test_over_tls_the_cookie_says_so(door: Door, key: str) -> None:
    with TestClient(door.client.app, "https://127.0.0.1") as safe:
        origin = {"Origin": "https://127.0.0.1"}
        answer = safe.post("/ui/sign-in", data={"key": key}, headers=HTML | origin, follow_redirects=False)
        name, *flags = answer.headers["set-cookie"].split("; ")
        assert name.startswith("__Host-noisegate=")
        assert "Secure" in flags
        assert safe.get("/ui", headers=HTML, follow_redirects=False).status_code == 200
        plain = {"Cookie": name.removeprefix("__Host-")}
        safe.cookies.clear()
        assert safe.get("/ui", headers=HTML | plain, follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/ui",
        "/\\evil.example",
        "/ui//evil.example",
        "/ui/../docs",
        "/docs",
        "/ui/x?y=http://evil",
        "javascript:alert(1)",
        "/ui/\r\nX: y",
    ],
)
def test_nobody_is_sent_elsewhere(door: Door, key: str, wanted: str) -> None:
    answer = door.sign_in(key, wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui")


def test_a_wrong_key_opens_nothing_and_is_not_shown_again(door: Door, key: str) -> None:
    for wrong in (key[:-1] + ("a" if key[-1] != "a" else "b"), "nonsense", "<script>"):
        answer = door.sign_in(wrong)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert wrong not in answer.text
    assert door.get("/ui").status_code == 303


def test_a_session_that_somebody_else_chose_is_not_taken_over(door: Door, key: str) -> None:
    """Session fixation: a cookie that is there before the sign-in means nothing after it."""
    door.client.cookies.clear()
    planted = {"Cookie": "noisegate=" + "A" * 43}
    answer = door.sign_in(key, **planted)
    assert "A" * 43 not in answer.headers["set-cookie"]
    door.client.cookies.clear()
    assert door.client.get("/ui", headers=HTML | planted, follow_redirects=False).status_code == 303
    first = door.sign_in(key).cookies["noisegate"]
    second = door.sign_in(key, Cookie=f"noisegate={first}").cookies["noisegate"]
    door.client.cookies.clear()
    shown = {"Cookie": f"noisegate={first}"}
    assert first != second
    assert door.client.get("/ui", headers=HTML | shown, follow_redirects=False).status_code == 303, "the old one ends"


def test_changes_show_the_token_against_forgery(door: Door, key: str) -> None:
    door.sign_in(key)
    csrf = door.csrf()
    spec = {"dataset": "nothing"}
    path = "/experiments?dry_run=true"
    assert door.client.post(path, json=spec, headers={"X-CSRF-Token": csrf}).status_code == 422
    for headers in (
        {},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": csrf[:-1] + "!"},
        {"X-CSRF-Token": csrf, "Origin": "http://evil.example"},
        {"X-CSRF-Token": csrf, "Origin": "null"},
        {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-site"},
    ):
        answer = door.client.post(path, json=spec, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), headers
    picture = {"Content-Type": "image/png"}
    assert door.client.post("/classify", content=b"x", headers=picture).status_code == 403, "past FastAPI, too"
    assert door.client.delete("/aliases/default").status_code == 403
    assert door.client.put("/aliases/default", json={"model": "x"}).status_code == 403


def test_the_token_of_another_session_is_none(door: Door, key: str) -> None:
    door.sign_in(key)
    theirs = door.csrf()
    door.sign_in(key)
    answer = door.client.post("/experiments?dry_run=true", json={}, headers={"X-CSRF-Token": theirs})
    assert answer.status_code == 403


def test_another_website_signs_nobody_in_or_out(door: Door, key: str) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"}):
        assert door.sign_in(key, **headers).status_code == 403
    door.sign_in(key)
    foreign = HTML | {"Origin": "http://evil.example"}
    out = door.client.post("/ui/sign-out", data={"csrf": door.csrf()}, headers=foreign, follow_redirects=False)
    assert out.status_code == 403
    wrong = door.client.post("/ui/sign-out", data={"csrf": "x"}, headers=HTML | ORIGIN, follow_redirects=False)
    assert wrong.status_code == 403
    assert door.get("/ui").status_code == 200


def test_signing_out_ends_the_session_everywhere(door: Door, key: str) -> None:
    token = door.sign_in(key).cookies["noisegate"]
    csrf = door.csrf()
    out = door.client.post("/ui/sign-out", data={"csrf": csrf}, headers=HTML | ORIGIN, follow_redirects=False)
    assert (out.status_code, out.headers["location"], out.headers["clear-site-data"]) == (303, "/ui/sign-in", '"cache"')
    assert "Max-Age=0" in out.headers["set-cookie"]
    door.client.cookies.clear()
    again = door.client.get("/ui", headers=HTML | {"Cookie": f"noisegate={token}"}, follow_redirects=False)
    assert again.status_code == 303
    with door.sessions.reading() as session:
        assert browser_sessions.find(session, digest_of(token)) is None


def test_a_session_ends_with_its_key(door: Door) -> None:
    key = door.key("eve")
    door.sign_in(key)
    assert door.get("/ui").status_code == 200
    with door.sessions.begin() as session:
        keys.revoke(session, key.split("_")[1])
    wait_until(lambda: door.get("/ui").status_code == 303, seconds=5, what="the session ends")
    short = door.key("eve", days=0.01)
    door.sign_in(short)
    assert door.row().expires_at < utc_now() + timedelta(hours=1), "no longer than its key"


def test_a_session_ends_after_its_hours(door: Door, key: str) -> None:
    door.sign_in(key)
    with door.sessions.begin() as session:
        session.get_one(BrowserSession, door.row().id).expires_at = utc_now() - timedelta(seconds=1)
    wait_until(lambda: door.get("/ui").status_code == 303, seconds=5, what="the session ends")
    before = door.row().id
    door.sign_in(key)
    with door.sessions.reading() as session:
        assert session.get(BrowserSession, before) is None, "and its row goes with the next"


def test_tokens_are_replaced_on_the_way(door: Door, key: str) -> None:
    first = door.sign_in(key).cookies["noisegate"]
    assert "set-cookie" not in door.get("/ui").headers
    with door.sessions.begin() as session:
        session.get_one(BrowserSession, door.row().id).rotated_at = utc_now() - timedelta(minutes=31)
    wait_until(lambda: door.client.cookies["noisegate"] != first or not door.get("/ui"), seconds=5, what="a new token")
    csrf = door.csrf()
    door.client.cookies.clear()
    old = {"Cookie": f"noisegate={first}"}
    assert door.client.get("/ui", headers=HTML | old, follow_redirects=False).status_code == 200, "for a moment"
    with door.sessions.begin() as session:
        session.get_one(BrowserSession, door.row().id).rotated_at = utc_now() - timedelta(minutes=2)

    def over() -> bool:
        return door.client.get("/ui", headers=HTML | old, follow_redirects=False).status_code == 303

    wait_until(over, seconds=5, what="the old token opens nothing")
    assert door.row().csrf == csrf, "pages that are open go on"


def test_scopes_are_those_of_the_key_by_now(door: Door) -> None:
    door.sign_in(door.key("ada", Scope.CLASSIFY))
    assert door.get("/ui").status_code == 403
    assert door.sign_in(door.key("ada", Scope.CLASSIFY)).headers["location"] == "/ui/classify"
    door.sign_in(door.key("ada", Scope.READ))
    assert "/ui/experiments/new" not in {link.get("href") for link in Parsed(door.get("/ui").text).all("a")}


def test_programs_with_a_key_need_no_token(door: Door, key: str) -> None:
    door.sign_in(key)
    shown = {"Authorization": f"Bearer {key}"}
    assert door.client.post("/experiments?dry_run=true", json={"dataset": "x"}, headers=shown).status_code == 422
    wrong = {"Authorization": "Bearer nonsense"}
    assert door.client.get("/experiments", headers=wrong).status_code == 401, "the cookie does not stand in for it"


def test_made_up_cookies_are_counted_like_wrong_keys(tmp_path: Path, migrated_database: Path, broker_url: str) -> None:
    settings = settings_in(tmp_path / "data", migrated_database, broker_url)
    settings = settings.model_copy(update={"authentication": "required", "failures_per_minute": 3})
    with TestClient(create_app(settings), "http://127.0.0.1") as client:
        made_up = ({"Cookie": f"noisegate={number:043d}"} for number in range(5))
        statuses = [client.get("/experiments", headers=each).status_code for each in made_up]
    assert statuses == [401, 401, 401, 429, 429]
