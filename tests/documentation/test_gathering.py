"""How pages of the repository become pages of the guide: links in their new places, and schemas in words."""

from pathlib import Path, PurePosixPath

import pytest
from guide.api_pages import write_api_pages
from guide.gathering import gather
from guide.links import change_links, resolve
from guide.schemas import default_of, type_of

DOCUMENT = {
    "info": {"version": "1.2"},
    "paths": {
        "/things/{id}": {
            "get": {
                "tags": ["things"],
                "description": "One thing. And more.",
                "x-scope": "read",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {
                    "200": {"description": "It", "content": {"application/json": {"schema": {"$ref": "#/c/Thing"}}}}
                },
            }
        }
    },
    "components": {
        "schemas": {"Thing": {"properties": {"size": {"type": "integer", "minimum": 1, "description": "a | b"}}}}
    },
}


def test_links_change_and_code_does_not() -> None:
    text = "[`a`](b.md) `[c](d.md)` ![e](f.png) [g](https://h)\n\n```sh\n[i](j.md)\n```\n[k](/l) [m [n]](o.md#p)"
    changed = change_links(text, lambda image, words, target: f"<{'!' * image}{words} {target}>")
    assert (
        changed == "<`a` b.md> `[c](d.md)` <!e f.png> [g](https://h)\n\n```sh\n[i](j.md)\n```\n[k](/l) <m [n] o.md#p>"
    )


def test_a_link_is_resolved_from_its_page() -> None:
    page = PurePosixPath("docs/guides/a.md")
    assert resolve(page, "../b.md#c") == (PurePosixPath("docs/b.md"), "c")
    assert resolve(page, "#c") == (page, "c")
    with pytest.raises(ValueError, match="out of the repository"):
        resolve(page, "../../../b.md")


def test_pages_and_what_they_link_to_come_along(tmp_path: Path) -> None:
    files = {
        "README.md": "# Start\n",
        "docs/README.md": "# Start\n\n[a](guides/a.md) [b](../deploy/README.md#b) [c](../code.py) [d](decisions)\n",
        "docs/guides/a.md": "[start](../../README.md) ![e](../e.png) [f](../none.md)\n",
        "docs/e.png": "e",
        "docs/new.md": "# New\n",
        "docs/decisions/README.md": "# Decisions\n",
        "docs/decisions/0001-a.md": "# A\n",
        "deploy/README.md": "[a](../docs/guides/a.md)\n",
        "code.py": "pass\n",
    }
    for name, text in files.items():
        (tmp_path / "from" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / name).write_text(text)
    to = tmp_path / "to"
    gather(tmp_path / "from", to)
    start = (to / "index.md").read_text()
    assert "[a](guides/a.md) [b](deploy.md#b) [c](files/code.py) d\n" in start
    assert start.count("decisions/index\n") == 1
    assert start.index("deploy\n") < start.index(":caption: More") < start.index("new\n")
    assert (to / "guides" / "a.md").read_text() == "[start](../index.md) ![e](../files/docs/e.png) [f](../none.md)\n"
    assert (to / "deploy.md").read_text() == "[a](guides/a.md)\n"
    assert (to / "files" / "code.py").read_text() == "pass\n"
    assert "0001-a" in (to / "decisions" / "index.md").read_text()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 9}, "integer, ≥ 1, < 9"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number, or null"),
        ({"oneOf": [{"$ref": "#/x/A"}, {"const": "b"}]}, "<A>, or `b`"),
        ({"type": "array", "items": {"enum": ["a", 1]}}, "list of `a` `1`"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "object of string"),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {}]}, "list of integer, anything"),
        ({"type": "string", "format": "date-time"}, "date and time"),
        ({}, "anything"),
    ],
)
def test_types_in_words(schema: dict[str, object], words: str) -> None:
    assert type_of(schema, lambda name: f"<{name}>") == words


def test_defaults() -> None:
    assert [default_of({}), default_of({"default": None}), default_of({"default": "a"})] == ["", "`null`", '`"a"`']
    assert len(default_of({"default": ["long"] * 30})) <= 62


def test_the_reference_of_a_document(tmp_path: Path) -> None:
    write_api_pages(DOCUMENT, tmp_path / "api")
    pages = {file.name: file.read_text() for file in (tmp_path / "api").iterdir()}
    assert set(pages) == {"index.md", "things.md", "documents.md"}
    assert "| [GET /things/{id}](things.md#get-thingsid) | One thing | read |" in pages["index.md"]
    assert "| `id` | in the path | string |" in pages["things.md"]
    assert "[Thing](documents.md#thing)" in pages["things.md"]
    assert "| `size` | integer, ≥ 1 | a \\| b |" in pages["documents.md"]
