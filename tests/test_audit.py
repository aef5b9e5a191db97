"""The audit of dependencies, against a stand-in for the advisory service on a real socket."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "audit.py"
ADVISORY = {
    "id": "GHSA-0000-0000-0000",
    "aliases": ["CVE-2026-0001"],
    "modified": "2026-01-01T00:00:00Z",
    "summary": "made up",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.9"}]}],
            "versions": ["3.1.6"],
        }
    ],
}


class Advisories(http.server.BaseHTTPRequestHandler):
    """Knows one advisory, for jinja2."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {"vulns": [ADVISORY]} if asked["package"]["name"] == "jinja2" else {}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def audit(root: Path, url: str, *options: str, ignored: str = "") -> subprocess.CompletedProcess[str]:
    (root / "constraints.txt").write_text("Jinja2==3.1.6\nclick==8.5.1\n")
    (root / "pyproject.toml").write_text(f"[tool.noisegate.audit.ignored]\n{ignored}\n")
    command = [sys.executable, str(SCRIPT), "--root", str(root), "--url", url, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_finding_fails_where_the_service_answers(tmp_path: Path, service: str) -> None:
    done = audit(tmp_path, service, "--if-reachable")
    assert done.returncode == 1, done.stderr
    assert "jinja2 3.1.6: CVE-2026-0001, GHSA-0000-0000-0000; fixed in 3.1.9" in done.stdout
    assert "2 packages, 1 findings, 0 ignored" in done.stdout


def test_what_is_ignored_needs_a_reason(tmp_path: Path, service: str) -> None:
    done = audit(tmp_path, service, ignored='CVE-2026-0001 = "Only templates of strangers; ours are our own."')
    assert (done.returncode, "1 ignored" in done.stdout) == (0, True), done.stderr
    bare = audit(tmp_path, service, ignored='CVE-2026-0001 = "later"')
    assert bare.returncode == 1
    assert "say why these are ignored: CVE-2026-0001" in bare.stderr


def test_without_a_network_the_check_says_so_and_the_audit_fails(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1/v1/query"
    lenient = audit(tmp_path, nobody, "--if-reachable")
    assert (lenient.returncode, "NOT AUDITED" in lenient.stderr) == (0, True)
    assert audit(tmp_path, nobody).returncode == 2
