"""What stands before every request: names of hosts, how often, how slowly, and what browsers are told."""

import socket
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from noisegate.store import keys
from noisegate.store.keys import Scope
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from tests.conftest import PATIENCE
from tests.service.conftest import run_client, run_server
from tests.service.factories import png_bytes


def changed(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update=changes)


@pytest.mark.parametrize("path", ["/livez", "/models"])
def test_names_that_lead_here_from_elsewhere_are_refused(shared_client: TestClient, path: str) -> None:
    """DNS rebinding: a page under an attacker's name that resolves to 127.0.0.1."""
    for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]"):
        answer = shared_client.get(path, headers={"Host": name})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), name
    for name in ("127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:8000"):
        assert shared_client.get(path, headers={"Host": name}).status_code == 200, name


def test_the_fast_lane_has_the_same_door(shared_client: TestClient) -> None:
    headers = {"Host": "evil.example", "Content-Type": "image/png"}
    assert shared_client.post("/classify", content=png_bytes(), headers=headers).status_code == 400


def test_allowed_hosts(settings: Settings) -> None:
    with run_client(changed(settings, allowed_hosts=("noisegate.example",))) as client:
        assert client.get("/livez", headers={"Host": "other.example"}).status_code == 400
        assert client.get("/livez", headers={"Host": "Noisegate.Example:443"}).status_code == 200
        assert client.get("/livez", headers={"Host": "127.0.0.1:8000"}).status_code == 200, "a health check"


def test_off_loopback_keys_are_needed_whatever_the_settings_say_it_is_bound_to(settings: Settings) -> None:
    """uvicorn started by hand on another host: settings do not know, the connection does."""
    with run_client(settings) as client:
        answer = client.get("http://192.0.2.1/models")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="noisegate"')
    with run_client(changed(settings, authentication="off", allowed_hosts=("*",))) as client:
        assert client.get("http://192.0.2.1/models").status_code == 200


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Via"])
def test_what_a_proxy_on_this_machine_sends_on_is_not_from_this_machine(settings: Settings, header: str) -> None:
    """A proxy for the world asks under a loopback name, too."""
    with run_client(settings) as client:
        assert client.get("/models", headers={header: "198.51.100.7"}).status_code == 401
        assert client.post("/classify", content=b"x", headers={header: "198.51.100.7"}).status_code == 401
        assert client.get("/models").status_code == 200


@pytest.fixture
def token(settings: Settings) -> str:
    sessions = open_sessions(settings)
    with sessions.begin() as session:
        made, _ = keys.create(session, owner="ada", scopes=[Scope.READ])
    sessions.close()
    return made


def test_too_many_requests_of_one_key(settings: Settings, token: str) -> None:
    with run_client(changed(settings, authentication="required", requests_per_minute=3)) as client:
        answers = [client.get("/models", headers={"Authorization": f"Bearer {token}"}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert client.get("/livez").status_code == 200


def test_too_many_wrong_keys_from_one_address_and_a_right_one(settings: Settings, token: str) -> None:
    with run_client(changed(settings, authentication="required", failures_per_minute=2)) as client:
        wrong = {"Authorization": "Bearer nonsense"}
        assert [client.get("/models", headers=wrong).status_code for _ in range(3)] == [401, 401, 429]
        assert client.get("/models", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_body_of_whoever_may_not_come_in_is_not_read(settings: Settings) -> None:
    with (
        run_server(changed(settings, authentication="required")) as (host, port),
        socket.create_connection((host, port)) as peer,
    ):
        peer.settimeout(10 * PATIENCE)
        peer.sendall(
            b"POST /datasets HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\nContent-Type: application/zip\r\n\r\n"
        )
        assert peer.recv(4096).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("path", ["/classify", "/experiments"])
def test_a_body_that_stands_still_is_given_up(settings: Settings, path: str) -> None:
    with (
        run_server(changed(settings, body_seconds=0.3)) as (host, port),
        socket.create_connection((host, port)) as peer,
    ):
        peer.settimeout(10 * PATIENCE)
        peer.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nContent-Type: ".encode())
        peer.sendall(b"image/png\r\n\r\n123" if path == "/classify" else b"application/json\r\n\r\n{")
        assert peer.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/nowhere", "/models"])
def test_headers_for_browsers(shared_client: TestClient, path: str) -> None:
    headers = shared_client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "unsafe-eval" not in headers["Content-Security-Policy"]


def test_no_page_elsewhere_may_read_or_write(shared_client: TestClient) -> None:
    """CORS is off: nothing allows another origin, and its preflight is refused."""
    origin = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    preflight = shared_client.options("/experiments", headers=origin)
    assert preflight.status_code == 405
    for answer in (preflight, shared_client.get("/models", headers=origin)):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:81"},
    ],
)
def test_a_form_on_another_website_can_do_nothing_where_no_key_is_needed(
    shared_client: TestClient, headers: dict[str, str]
) -> None:
    form = {"archive": ("a.zip", b"PK", "application/zip")}
    answer = shared_client.post("/datasets", files=form, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    ours = shared_client.post("/datasets", files=form, headers={"Origin": "http://127.0.0.1"})
    assert ours.status_code in (200, 202)


@pytest.mark.parametrize(("method", "path"), [("GET", "/models"), ("POST", "/classify"), ("POST", "/experiments")])
def test_a_website_that_the_settings_name_may_ask(settings: Settings, method: str, path: str) -> None:
    """As browsers ask: a preflight without a key, then the request; refusals can be read, too."""
    ours, other = "https://ours.example", "https://other.example"
    with run_client(changed(settings, allowed_origins=(ours,), authentication="required")) as client:
        asking = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
        preflight = client.options(path, headers={"Origin": ours, **asking})
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == ours
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        assert client.options(path, headers={"Origin": other, **asking}).status_code == 400
        refused = client.request(method, path, headers={"Origin": ours})
        assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, ours)
        assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Origin" not in client.request(method, path, headers={"Origin": other}).headers


def test_without_keys_only_that_website_may_send_a_form(settings: Settings) -> None:
    form = {"archive": ("a.zip", b"PK", "application/zip")}
    with run_client(changed(settings, allowed_origins=("https://ours.example",))) as client:
        for origin, allowed in (("https://ours.example", True), ("https://other.example", False)):
            headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            assert (client.post("/datasets", files=form, headers=headers).status_code != 403) is allowed


def test_a_public_service_without_a_key_does_not_start(settings: Settings) -> None:
    environment = {"NOISEGATE_DATA_DIR": str(settings.data_dir), "NOISEGATE_HOST": "0.0.0.0", "NOISEGATE_PORT": "0"}
    command = [sys.executable, "-m", "service.main"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert "noisegate keys create" in ended.stdout + ended.stderr
