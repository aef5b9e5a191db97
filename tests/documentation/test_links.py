"""Every relative link of README, docs and deploy leads to a file that is there, and to a heading that is there."""

import re
import subprocess
from urllib.parse import unquote

import pytest

from tests.documentation.pages import ROOT, Page, all_pages

PAGES = {page.name: page for page in all_pages()}


def wrong_links(page: Page) -> list[str]:
    return [f"{target}: {wrong}" for target in page.links if (wrong := _wrong(page, target))]


def _wrong(page: Page, target: str) -> str | None:
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    path, _, anchor = unquote(target).partition("#")
    file = (page.path.parent / path).resolve() if path else page.path
    if path and not file.exists():
        return "no such file"
    if not file.is_relative_to(ROOT):
        return "leads out of the repository"
    anchors = (Page(file) if path else page).anchors if anchor else frozenset[str]()
    return f"no such heading; there are {', '.join(sorted(anchors))}" if anchor and anchor not in anchors else None


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    assert wrong_links(PAGES[name]) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    links = "none.md #none ../README.md#none ../../ https://example.org #here-1 README.md"
    text = "\n".join(["## Here", "## Here", *(f"[`a` b]({link})" for link in links.split())])
    wrong = wrong_links(Page(ROOT / "docs" / "broken.md", text))
    assert [link.partition(":")[0] for link in wrong] == ["none.md", "#none", "../README.md#none", "../../"]


def test_what_pages_link_to_is_in_what_images_are_built_from() -> None:
    """The guide is built in an image from what .dockerignore lets through."""
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    linked = {
        (page.path.parent / unquote(target).partition("#")[0]).resolve().relative_to(ROOT)
        for name, page in PAGES.items()
        if name.startswith(("docs/", "deploy/"))
        for target in page.links
        if not re.match(r"[a-z]+:|#", target)
    }
    assert [str(file) for file in sorted(linked) if not any(file.is_relative_to(folder) for folder in let_in)] == []


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def test_nothing_of_the_guide_is_kept_in_the_repository() -> None:
    kept = subprocess.run(
        ["git", "ls-files", "service/guide/built"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert kept.stdout == ""
