"""The OpenAPI document, as version 3.1 has it and as validators and generators of clients take it."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute

ABOUT = (
    "Errors are `application/problem+json` with a `code` for programs. Every GET has an `ETag`. Paths in answers are relative to "
    "this document's server."
)
TAGS = [
    {"name": "health", "description": "Whether the service works, and what it counts."},
    {"name": "presets", "description": "The tables and figures of the paper, and standard protocols, as ready specs."},
    {"name": "backbones", "description": "Networks with weights that somebody else trained."},
    {"name": "datasets", "description": "Labelled images: uploaded, listed, looked at."},
    {"name": "experiments", "description": "What is trained: posted, followed, cancelled."},
    {"name": "results", "description": "What came of experiments: tables, samples, figures."},
    {"name": "samples", "description": "What the executions say of each training image."},
    {"name": "models", "description": "Trained models, their cards, decision rules and aliases."},
    {"name": "classify", "description": "Images to decisions."},
    {"name": "open inference protocol", "description": "The same decisions for clients of KServe and Triton."},
    {"name": "hybrids", "description": "Images of the low frequencies of one image and the high ones of another."},
    {"name": "noise", "description": "What the families of noise look like."},
    {"name": "workers", "description": "The processes that train."},
]


def operation_id(route: APIRoute) -> str:
    """The name of the route's function: generators call a method so."""
    return route.name


def finish(document: dict[str, Any]) -> None:
    """Mend in a document of FastAPI's what others stumble over.

    - `itemSchema` belongs to 3.2: what a stream is made of stays as `x-itemSchema`, and its schema is a text.
    - A default that is an object stops openapi-python-client: it is told in the description.
    - An array of a fixed number of items has no `items`: generators want to know of what it is a list.
    """
    for node in _objects(document["paths"]):
        if "itemSchema" in node:
            node["x-itemSchema"] = node.pop("itemSchema")
            node["schema"] = {"type": "string"}
    for schema in _objects(document["components"]["schemas"]):
        if "prefixItems" in schema and "items" not in schema:
            kinds = [
                each for place, each in enumerate(schema["prefixItems"]) if each not in schema["prefixItems"][:place]
            ]
            schema["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        for described in _properties(schema):
            if isinstance(described.get("default"), dict):
                _tell_default(described)


def _properties(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        yield from (described for described in properties.values() if isinstance(described, dict))


def _tell_default(described: dict[str, Any]) -> None:
    default = described.pop("default")
    without = f"Without it: `{json.dumps(default)}`." if default else "Without it: empty."
    described["description"] = " ".join(filter(None, [described.get("description"), without]))


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every object within a document, itself included."""
    if isinstance(node, dict):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _objects(part)
