"""Every page in a real browser: no error, nothing that its policy forbids, nothing from elsewhere, nothing that bars anybody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import open_sessions
from tests.browser.conftest import Watched, open_page
from tests.service.conftest import run_server, settings_in
from tests.service.pages.conftest import things

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

PATHS = [
    "/ui",
    "/ui/experiments",
    "/ui/experiments/new",
    "/ui/experiments/{experiment}",
    "/ui/experiments/{experiment}/cells/0",
    "/ui/experiments/{experiment}/cells/0/executions/0",
    "/ui/datasets",
    "/ui/datasets/{dataset}",
    "/ui/models",
    "/ui/models/{model}",
    "/ui/classify",
    "/ui/compare?experiment={experiment}&group=noise.quantity",
    "/ui/admin",
    "/ui/sign-in",
    "/ui/experiments/exp_nothing",
]
# What reaches beyond the window, but for what scrolls by itself.
_TOO_WIDE = """
() => document.documentElement.scrollWidth <= document.documentElement.clientWidth ? [] :
  [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1
    && !one.closest(".scroll, .bar nav, pre")).slice(0, 5).map((one) => one.outerHTML.slice(0, 160))
"""
# What the quick run looks at.
FEW = ["/ui", "/ui/experiments/{experiment}", "/ui/classify"]
LOOKS = [("light", 1280), ("dark", 1280), ("light", 380)]


@pytest.fixture(scope="module")
def shown(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, broker_url: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """A service without keys that has something of everything, and its ids."""
    settings = settings_in(tmp_path_factory.mktemp("browsed") / "data", migrated_database, broker_url)
    sessions = open_sessions(settings)
    ids = things(sessions, Artefacts(settings.artefact_root))
    sessions.close()
    with run_server(settings) as (host, port):
        yield f"{host}:{port}", ids


def look_at(chromium: Any, folder: Path, host: str, paths: list[str], look: tuple[str, int]) -> None:
    scheme, width = look
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    for page in open_page(chromium, folder, host, **options):
        for path in paths:
            page.visit(path)
            page.page.wait_for_timeout(150)
            _check_reach(page, path)
            if path.endswith(("exp_nothing", "/new")):
                page.errors.clear()  # the browser tells of the 404, and of a plan on digits that have not been ingested here
            page.check()


def _check_reach(page: Watched, path: str) -> None:
    """Everybody can read and use it: axe finds nothing serious, and no page is wider than its window."""
    found = axe.Axe().run(page.page).response["violations"]
    serious = [
        (one["id"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == [], path
    assert page.page.evaluate(_TOO_WIDE) == [], path


def test_three_pages(chromium: Any, shown: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    host, ids = shown
    look_at(chromium, tmp_path, host, [path.format(**ids) for path in FEW], LOOKS[0])


@pytest.mark.nightly
@pytest.mark.parametrize("look", LOOKS)
def test_every_page(chromium: Any, shown: tuple[str, dict[str, str]], tmp_path: Path, look: tuple[str, int]) -> None:
    host, ids = shown
    look_at(chromium, tmp_path, host, [path.format(**ids) for path in PATHS], look)


@pytest.mark.nightly
def test_without_javascript_pages_can_be_read(chromium: Any, shown: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    host, ids = shown
    for page in open_page(chromium, tmp_path, host, java_script_enabled=False):
        for path in PATHS:
            page.visit(path.format(**ids))
            assert page.page.inner_text("main").strip()
        page.visit("/ui/experiments/{experiment}".format(**ids))
        assert "± 5.00" in page.page.inner_text("#results") or "± 10.00" in page.page.inner_text("#results")
        page.page.click("#results tbody a >> nth=0")
        assert "Executions" in page.page.inner_text("main")


@pytest.mark.nightly
def test_the_keyboard_reaches_everything(chromium: Any, shown: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    host, _ = shown
    for page in open_page(chromium, tmp_path, host):
        page.visit("/ui/classify")
        page.page.keyboard.press("Tab")
        assert page.page.evaluate("document.activeElement.textContent") == "To the content"
        reached: set[str] = set()
        for _ in range(60):
            page.page.keyboard.press("Tab")
            reached.add(page.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        assert {"files", "Noise", "model", "rule", "Experiments"} <= reached
        assert page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") is not None
