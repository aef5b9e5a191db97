"""The guide as it is built: whole, with nothing from elsewhere and nothing inline. It takes some ten seconds of a core."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from noisegate.store.settings import Settings
from service.app import create_app
from tests.documentation.pages import ROOT

pytestmark = pytest.mark.nightly


class Parsed(HTMLParser):
    """What a page loads, where it leads, what stands inline, and the ids in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.inline += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(f"<{tag}>")
        self.ids |= {given["id"] or ""} if "id" in given else set()
        if tag == "a" and given.get("href"):
            self.leads.append(given["href"] or "")
        self.loads += [given[name] or "" for name in ("src", "srcset", "data") if name in given]
        if tag == "link" and given.get("rel") in ("stylesheet", "icon"):
            self.loads.append(given["href"] or "")


@pytest.fixture(scope="module")
def pages(built_guide: Path) -> dict[Path, Parsed]:
    return {file: Parsed(file.read_text()) for file in sorted(built_guide.rglob("*.html"))}


def test_every_page_is_there(built_guide: Path, pages: dict[Path, Parsed]) -> None:
    built = {file.relative_to(built_guide).with_suffix("").as_posix() for file in pages}
    written = {
        file.relative_to(ROOT / "docs").with_suffix("")
        for kind in ("md", "ipynb")
        for file in (ROOT / "docs").rglob(f"*.{kind}")
    }
    names = {str(file.with_name("index") if file.name == "README" else file) for file in written}
    assert names - built == set()
    assert {"index", "search", "deploy", "api/index", "api/documents"} <= built


def test_nothing_stands_inline_and_nothing_comes_from_elsewhere(pages: dict[Path, Parsed]) -> None:
    for file, page in pages.items():
        assert page.inline == [], file
        assert [url for url in page.loads if urlsplit(url).scheme not in ("", "data")] == [], file
    styles = [path.read_text() for path in next(iter(pages)).parent.rglob("*.css")]
    assert not any(re.search(r"@import|url\(\s*['\"]?(https?:)?//", style) for style in styles)


def test_every_link_and_file_of_a_page_is_there(pages: dict[Path, Parsed]) -> None:
    lost = []
    for file, page in pages.items():
        for url in {*page.leads, *page.loads}:
            parts = urlsplit(url)
            if parts.scheme:
                continue
            to = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not to.is_file() or (parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].ids):
                lost.append(f"{file.name}: {url}")
    assert lost == []


def test_the_reference_has_every_operation_and_every_document(built_guide: Path) -> None:
    document = create_app(Settings()).openapi()
    overview = (built_guide / "api" / "index.html").read_text()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}</" in overview
    documents = (built_guide / "api" / "documents.html").read_text()
    fields = {field for schema in document["components"]["schemas"].values() for field in schema.get("properties", ())}
    assert [field for field in fields if f">{field}</span>" not in documents] == []


def test_words_of_a_page_are_in_the_index_for_searching(built_guide: Path) -> None:
    index = (built_guide / "searchindex.js").read_text()
    assert index.startswith("Search.setIndex(")
    assert '"threshold"' in index or "threshold:" in index
