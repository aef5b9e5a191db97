"""The guide at /docs/guide: what was built, for everybody, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from noisegate.store.settings import Settings
from tests.service.conftest import run_client, settings_in

FILES = {
    "index.html": (b"<h1>Noisegate</h1>", "text/html; charset=utf-8"),
    "guides/engineer.html": (b"<h1>Engineer</h1>", "text/html; charset=utf-8"),
    "_static/app.css": (b"p {}", "text/css; charset=utf-8"),
    "searchindex.js": (b"Search.setIndex({})", "text/javascript; charset=utf-8"),
    "_images/a.png": (b"\x89PNG", "image/png"),
    "_downloads/1/settings.py": (b"x = '<script>'", "text/plain; charset=utf-8"),
}


@pytest.fixture(scope="module")
def guide_settings(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, broker_url: str) -> Settings:
    folder = tmp_path_factory.mktemp("guide")
    for name, (content, _) in FILES.items():
        (folder / "built" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "built" / name).write_bytes(content)
    (folder / "secret.txt").write_text("nobody's")
    settings = settings_in(folder / "data", migrated_database, broker_url)
    return settings.model_copy(update={"guide_dir": folder / "built", "authentication": "required"})


@pytest.fixture(scope="module")
def guide(guide_settings: Settings) -> Iterator[TestClient]:
    with run_client(guide_settings) as client:
        yield client


def test_without_a_slash_it_leads_to_the_folder(guide: TestClient) -> None:
    answer = guide.get("/docs/guide", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs/guide/")
    assert guide.get("/docs/guide/").content == FILES["index.html"][0]


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_without_a_key_and_kept_by_browsers(guide: TestClient, name: str) -> None:
    content, media_type = FILES[name]
    answer = guide.get(f"/docs/guide/{name}?v=1a2b")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, content, media_type)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = guide.get(f"/docs/guide/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name",
    [
        "nothing.html",
        "guides",
        "guides/",
        "/index.html",
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "guides/..%2f..%2fsecret.txt",
        "..%5csecret.txt",
        "index.html%00",
    ],
)
def test_no_other_file_is(guide: TestClient, name: str) -> None:
    answer = guide.get(f"/docs/guide/{name}")
    assert answer.status_code in (401, 404)  # the client takes ../ off before it sends it, and then it is another path
    assert b"nobody" not in answer.content


def test_a_file_that_came_later_is_not_served(guide: TestClient, guide_settings: Settings) -> None:
    assert guide_settings.guide_dir
    later = guide_settings.guide_dir / "later.html"
    later.write_text("later")
    assert guide.get("/docs/guide/later.html").status_code == 404
    later.unlink()


def test_searching_takes_a_query_and_no_other(guide: TestClient) -> None:
    assert guide.get("/docs/guide/index.html?q=noise").status_code == 200
    answer = guide.get("/docs/guide/index.html?w=noise")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "w")


def test_only_reading_is_free(guide: TestClient) -> None:
    assert guide.head("/docs/guide/").status_code == 200
    assert guide.post("/docs/guide/").status_code == 401


def test_without_a_guide_it_says_how_to_have_one(guide_settings: Settings, tmp_path: Path) -> None:
    with run_client(guide_settings.model_copy(update={"guide_dir": tmp_path / "none"})) as client:
        answer = client.get("/docs/guide/")
        assert answer.status_code == 404
        assert "make docs" in answer.json()["remedy"]
        page = client.get("/docs/guide/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "make docs" in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
