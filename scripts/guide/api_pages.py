"""The OpenAPI document as Markdown: a page for each of its tags, and one of all documents that are sent and answered."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from guide.schemas import Schema, default_of, type_of

_DOCUMENTS = "documents.md"
_PARAMETER_PLACES = {"path": "in the path", "query": "query", "header": "header", "cookie": "cookie"}


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    entry: Mapping[str, Any]

    @property
    def title(self) -> str:
        """As a person would say it: GET /models."""
        return f"{self.method.upper()} {self.path}"


def write_api_pages(document: Mapping[str, Any], to: Path) -> None:
    """Write all pages into a new folder: `index.md` leads to the others."""
    to.mkdir()
    by_tag: dict[str, list[Operation]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, entry in methods.items():
            by_tag[entry.get("tags", ["other"])[0]].append(Operation(method, path, entry))
    pages = {tag.replace(" ", "-"): operations for tag, operations in by_tag.items()}
    for name, operations in pages.items():
        _write(to / f"{name}.md", [f"# {name.replace('-', ' ').capitalize()}", *map(_operation, operations)])
    _write(to / _DOCUMENTS, _documents(document["components"]["schemas"]))
    _write(to / "index.md", _index(document, pages))


def _write(file: Path, blocks: list[str]) -> None:
    file.write_text("\n\n".join(blocks) + "\n")


def _index(document: Mapping[str, Any], pages: Mapping[str, list[Operation]]) -> list[str]:
    rows = [
        (
            f"[{operation.title}]({name}.md#{_slug(operation.title)})",
            _first_sentence(operation.entry),
            _scope(operation),
        )
        for name, operations in pages.items()
        for operation in operations
    ]
    return [
        "# API reference",
        f"Made from the OpenAPI document of version {document['info']['version']}; a running service has it at `/openapi.json`, "
        "and pages to try it out at `/docs`. What holds for all operations is in [the API](../api.md).",
        _table(("operation", "what", "scope"), rows),
        "\n".join(["```{toctree}", ":hidden:", "", *pages, "documents", "```"]),
    ]


def _operation(operation: Operation) -> str:
    entry = operation.entry
    blocks = [f"## {operation.title}", entry.get("description", "")]
    if scope := _scope(operation):
        blocks.append(f"Needs a key with the scope `{scope}`, where keys are asked for.")
    if parameters := entry.get("parameters"):
        rows = [
            (
                f"`{one['name']}`",
                _PARAMETER_PLACES[one["in"]] + (", required" if one.get("required") and one["in"] != "path" else ""),
                type_of(one["schema"], _link),
                default_of(one["schema"]),
                one.get("description", ""),
            )
            for one in parameters
        ]
        blocks.append(_table(("parameter", "where", "type", "default", "what"), rows))
    if body := entry.get("requestBody"):
        blocks += ["**Body**", _contents(body), *_examples(body)]
    blocks += ["**Answers**", _answers(entry["responses"])]
    return "\n\n".join(block for block in blocks if block)


def _contents(body: Mapping[str, Any]) -> str:
    lines = [f"- `{media}`: {_type_of_content(content)}" for media, content in body["content"].items()]
    return "\n".join(lines)


def _type_of_content(content: Mapping[str, Any]) -> str:
    schema: Schema = content.get("schema", {})
    if properties := schema.get("properties"):
        return "; ".join(f"`{name}`: {type_of(one, _link)}" for name, one in properties.items())
    return type_of(schema, _link)


def _examples(body: Mapping[str, Any]) -> Iterator[str]:
    for content in body["content"].values():
        for example in content.get("examples", {}).values():
            if isinstance(example.get("value"), dict):
                text = json.dumps(example["value"], indent=1, ensure_ascii=False)
                yield f"{example.get('summary', 'For example')}:\n\n```json\n{text}\n```"


def _answers(responses: Mapping[str, Any]) -> str:
    rows = [
        (f"`{status}`", answer["description"], "<br>".join(_answer_types(answer.get("content", {}))))
        for status, answer in sorted(responses.items())
    ]
    return _table(("status", "when", "document"), rows)


def _answer_types(contents: Mapping[str, Any]) -> Iterator[str]:
    for media, content in contents.items():
        words = _type_of_content(content)
        yield words if media in ("application/json", "application/problem+json") else f"`{media}`: {words}"


def _documents(schemas: Mapping[str, Schema]) -> list[str]:
    intro = "What is sent and answered, by name. A field with a default may be left out; so may one that can be null and says so."
    return ["# Documents", intro, *(_document(name, schema) for name, schema in sorted(schemas.items()))]


def _document(name: str, schema: Schema) -> str:
    blocks = [f"## {_title(name)}", schema.get("description", "")]
    if properties := schema.get("properties"):
        required = schema.get("required", ())
        rows = [
            (
                f"`{field}`",
                type_of(one, _link),
                default_of(one) or ("required" if field in required else ""),
                one.get("description", ""),
            )
            for field, one in properties.items()
        ]
        blocks.append(_table(("field", "type", "default", "what"), rows))
    else:
        blocks.append(type_of(schema, _link).capitalize())
    return "\n\n".join(block for block in blocks if block)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    # A column in which nobody says anything is left out.
    used = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(line[column]) for column in used) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _scope(operation: Operation) -> str:
    return str(operation.entry.get("x-scope", ""))


def _first_sentence(entry: Mapping[str, Any]) -> str:
    text = " ".join(entry.get("description", entry.get("summary", "")).split())
    return text.partition(". ")[0].rstrip(".")


def _title(name: str) -> str:
    """The name of a document; two modules may have one of the same name, and then pydantic puts the module before it."""
    return name.replace("__", ".").removesuffix("_")


def _link(name: str) -> str:
    return f"[{_title(name)}]({_DOCUMENTS}#{_slug(_title(name))})"


def _slug(title: str) -> str:
    """As forges and MyST make it from a heading."""
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")
