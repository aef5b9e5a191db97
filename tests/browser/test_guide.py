"""The built guide in a real browser: nothing that its policy forbids, nothing from elsewhere, and searching works."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import open_page
from tests.browser.test_pages import look_at
from tests.documentation.conftest import built_guide as built_guide
from tests.service.conftest import run_server, settings_in

pytestmark = pytest.mark.nightly

# One of each kind: start, guide, tables and formulas, code, pictures, the reference, searching.
PAGES = (
    "index.html",
    "guides/engineer.html",
    "scores.html",
    "command-line.html",
    "measurements.html",
    "api/experiments.html",
    "search.html?q=threshold",
)


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, broker_url: str, built_guide: Path
) -> Iterator[str]:
    settings = settings_in(tmp_path_factory.mktemp("guided") / "data", migrated_database, broker_url)
    with run_server(settings.model_copy(update={"guide_dir": built_guide})) as (name, port):
        yield f"{name}:{port}"


@pytest.mark.parametrize("look", [("light", 1280), ("dark", 1280), ("light", 380)])
def test_pages_of_each_kind(chromium: Any, host: str, tmp_path: Path, look: tuple[str, int]) -> None:
    look_at(chromium, tmp_path, host, [f"/docs/guide/{page}" for page in PAGES], look)


def test_no_page_has_a_violation(chromium: Any, host: str, built_guide: Path, tmp_path: Path) -> None:
    for page in open_page(chromium, tmp_path, host):
        for file in sorted(built_guide.rglob("*.html")):
            page.visit(f"/docs/guide/{file.relative_to(built_guide).as_posix()}")
            page.check()


def test_searching_from_any_page(chromium: Any, host: str, tmp_path: Path) -> None:
    for shown in open_page(chromium, tmp_path, host):
        shown.visit("/docs/guide")
        shown.page.fill("header input[name=q]", "conformal")
        shown.page.press("header input[name=q]", "Enter")
        shown.page.wait_for_selector("#search-results li .context")
        shown.page.click("#search-results li a >> text=What each score can see")
        shown.page.wait_for_url("**/docs/guide/scores.html*")
        shown.check()


def test_without_javascript_it_can_be_read(chromium: Any, host: str, tmp_path: Path) -> None:
    for shown in open_page(chromium, tmp_path, host, java_script_enabled=False):
        shown.visit("/docs/guide/search.html")
        assert "takes JavaScript" in shown.page.inner_text("main")
        shown.page.click("nav[aria-label=Contents] >> text=Concepts")
        assert "Reject score" in shown.page.inner_text("main")
