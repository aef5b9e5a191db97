"""Debian's Chromium, and pages in it that tell of every error, every violation of their policy and every foreign request."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# No sandbox, as tests may run as root; and nothing that a browser would fetch of its own accord.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_TOLD = """
addEventListener("securitypolicyviolation", (event) => {
  (window.violations ??= []).push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@dataclass
class Watched:
    """A page, and what went wrong in it."""

    page: Any
    host: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def visit(self, path: str) -> None:
        """Go there and wait until it has loaded."""
        self.page.goto(f"http://{self.host}{path}", wait_until="load")

    def violations(self) -> list[str]:
        """Of the policy of the page that is open."""
        found: list[str] = self.page.evaluate("window.violations ?? []")
        return found

    def check(self) -> None:
        """Nothing went wrong: no error, no violation, no request to anywhere else."""
        assert self.violations() == []
        assert self.errors == []
        assert self.foreign == []

    def check_but_refusals(self) -> None:
        """The same where the service was meant to refuse something, which browsers tell of."""
        self.errors = [error for error in self.errors if "422" not in error]
        self.check()


# No longer than a module: its event loop runs in this thread, where later tests would find it and could have none of their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; without it these tests are skipped, and say so."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        yield started.chromium


def open_page(chromium: Any, folder: Path, host: str, **options: Any) -> Iterator[Watched]:
    """A fresh profile with one page."""
    options = {"viewport": {"width": 1280, "height": 900}} | options
    context = chromium.launch_persistent_context(str(folder), executable_path=CHROMIUM, args=FLAGS, **options)
    try:
        context.add_init_script(_TOLD)
        context.set_default_timeout(60_000)
        page = context.new_page()
        watched = Watched(page, host)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on("console", lambda told: _note_error(watched, told))
        page.on("request", lambda request: _note_foreign(watched, request.url))
        yield watched
    finally:
        context.close()


def _note_error(watched: Watched, told: Any) -> None:
    if told.type == "error":
        watched.errors.append(told.text)


def _note_foreign(watched: Watched, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("data", "blob") and parts.netloc != watched.host:
        watched.foreign.append(url)
