"""JSON Schemas as words: what a field takes, its bounds and its default, with links to the documents it refers to."""

import json
from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]
Link = Callable[[str], str]

_BOUNDS = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
)


def type_of(schema: Schema, link: Link) -> str:
    """The type in words, such as `integer, ≥ 1, or null`; `link` makes a link of a document's name."""
    if reference := schema.get("$ref"):
        return link(reference.rpartition("/")[2])
    if among := schema.get("oneOf") or schema.get("anyOf"):
        return ", or ".join(dict.fromkeys(type_of(one, link) for one in among))
    if all_of := schema.get("allOf"):
        return " and ".join(type_of(one, link) for one in all_of)
    if "const" in schema:
        return _code(schema["const"])
    if choices := schema.get("enum"):
        return " ".join(_code(choice) for choice in choices)
    return ", ".join(
        [_plain_type(schema, link), *(words.format(schema[key]) for key, words in _BOUNDS if key in schema)]
    )


def default_of(schema: Schema) -> str:
    """The default as JSON, or nothing; a long one is shortened."""
    if "default" not in schema:
        return ""
    text = json.dumps(schema["default"], ensure_ascii=False)
    return _code_of(text if len(text) <= 60 else f"{text[:57]}…")


def _plain_type(schema: Schema, link: Link) -> str:
    kind = schema.get("type", "anything")
    if kind == "array":
        if "prefixItems" in schema:
            return f"list of {', '.join(type_of(one, link) for one in schema['prefixItems'])}"
        return f"list of {type_of(schema.get('items', {}), link)}"
    if kind == "object" and isinstance(values := schema.get("additionalProperties"), Mapping):
        return f"object of {type_of(values, link)}"
    if kind == "string" and schema.get("format") in ("binary", "date-time", "uuid"):
        return {"binary": "file", "date-time": "date and time", "uuid": "UUID"}[schema["format"]]
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _code(value: object) -> str:
    return _code_of(value if isinstance(value, str) else json.dumps(value))


def _code_of(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"
