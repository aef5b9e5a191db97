"""The OpenAPI document is true to itself and to what the project's own pages show: valid, and every example fits its schema."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from noisegate.presets import catalogue
from noisegate.store.settings import Settings
from service.app import create_app

ROOT = Path(__file__).parents[2]
METHODS = {"get", "post", "put", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        yield from ((f"{method} {path}", operation) for method, operation in methods.items() if method in METHODS)


def objects(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object, with its place."""
    if isinstance(node, dict):
        yield path, node
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, part in parts:
        yield from objects(part, f"{path}/{name}")


def errors(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    whole = schema | {"components": document["components"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)]


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    found = OpenAPIV31SpecValidator(document).iter_errors()
    assert [f"{list(error.absolute_path)}: {error.message}" for error in found] == []


def test_tags_are_declared_and_operations_have_short_names(document: dict[str, Any]) -> None:
    declared = [tag["name"] for tag in document["tags"]]
    used = {tag for _, operation in operations(document) for tag in operation["tags"]}
    assert (sorted(declared), len(set(declared))) == (sorted(used), len(declared))
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]{2,30}", name)] == []
    twice = [name for name in document["components"]["schemas"] if "__" in name]
    assert twice == [], "two classes of one name"


def test_nothing_in_it_stops_a_generator(document: dict[str, Any]) -> None:
    for place, node in objects(document):
        if place.endswith("/properties") or "/example" in place:
            continue
        if node.get("type") == "array":
            assert "items" in node, place
        assert not (isinstance(node.get("default"), dict) and "/properties/" in place), place
        assert "itemSchema" not in node, "a word of OpenAPI 3.2"


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    seen = 0
    for place, node in objects(document):
        schema = node.get("schema", node)
        if place.endswith("/properties") or not isinstance(schema, dict):
            continue
        named = node.get("examples", [])
        examples = [one["value"] for one in named.values()] if isinstance(named, dict) else list(named)
        examples += [node["example"]] if "example" in node else []
        for example in examples:
            assert errors(document, schema, example) == [], place
            seen += 1
    assert seen > 10


def shown_specs() -> Iterator[tuple[str, Any]]:
    """The experiments that pages of the project show."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for block in re.findall(
            r"<<'JSON'\n(.*?)\nJSON|/experiments[^\n]*-d '\n?(.*?)'\n", page.read_text(), re.DOTALL
        ):
            yield page.name, json.loads("".join(block))


def test_every_spec_that_is_shown_matches_one_member(document: dict[str, Any]) -> None:
    schema = document["paths"]["/experiments"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    shown = list(shown_specs())
    assert {"first-steps.md", "researcher.md", "data-owner.md", "networks.md", "open-set.md"} <= set(dict(shown))
    presets = [(name, catalogue.get(name)) for name in catalogue.names()]
    written = [(name, preset.spec_document(scale)) for name, preset in presets for scale in catalogue.SCALES]
    answered = [(name, preset.spec_at("smoke").model_dump(mode="json")) for name, preset in presets]
    for place, spec in [*shown, *written, *answered]:
        assert errors(document, schema, spec) == [], place
    sweep = dict(shown)["first-steps.md"]
    assert "kind" not in sweep
    assert errors(document, schema, sweep | {"kind": "training"}) == []
    assert errors(document, schema, sweep | {"kind": "nothing"}) != []
