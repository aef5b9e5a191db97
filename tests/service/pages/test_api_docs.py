"""/docs works where there is no internet: everything that it loads comes from here, and is the file that it says it is."""

import hashlib
import re
from pathlib import Path

from starlette.testclient import TestClient

from tests.service.pages.conftest import Parsed

VENDORED = Path(__file__).parents[3] / "service/pages/static/vendor"


def test_the_documentation_loads_nothing_from_elsewhere(shared_client: TestClient) -> None:
    answer = shared_client.get("/docs")
    page = Parsed(answer.text)
    loaded = [found.get("src") or found.get("href") or "" for tag in ("script", "link") for found in page.all(tag)]
    assert len(loaded) == 4
    for path in loaded:
        assert path.startswith("/ui/static/")
        assert shared_client.get(path).status_code == 200, path
    assert [one["data-document"] for one in page.all("main")] == ["/openapi.json"]
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert shared_client.get("/redoc", follow_redirects=False).headers["Location"] == "/docs"
    assert shared_client.get("/docs/oauth2-redirect").status_code == 404


def test_files_of_others_are_what_they_are_said_to_be_and_have_their_licences() -> None:
    rows = re.findall(
        r"^\| (\S+\.(?:js|css)) \|.*\| ([0-9a-f]{64}) \|$", (VENDORED / "README.md").read_text(), re.MULTILINE
    )
    files = [file.name for file in VENDORED.iterdir() if file.suffix in (".js", ".css")]
    assert sorted(name for name, _ in rows) == sorted(files)
    for name, digest in rows:
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == digest, name
        assert list(VENDORED.glob(f"{re.split(r'[.-]', name)[0]}*LICENSE*")), name
