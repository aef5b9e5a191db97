"""pydantic's errors in our words: the path of the field, the message, and what to do about it."""

from collections.abc import Iterable

from pydantic_core import ErrorDetails

from noisegate.errors import FieldError

_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def field_errors(errors: Iterable[ErrorDetails], prefix: str = "") -> list[FieldError]:
    """pydantic's errors as paths (`noise.quantity`), messages and remedies."""
    return [FieldError(_path(error, prefix), error["msg"], _remedy(error)) for error in errors]


def _path(error: ErrorDetails, prefix: str) -> str:
    parts = [str(part) for part in error["loc"]]
    return prefix + (".".join(parts) or "body")


def _remedy(error: ErrorDetails) -> str | None:
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return "Remove it, or check its spelling against /docs."
        case "missing":
            return "It is required."
        case "unknown_name" | "wrong_field":
            return str(context["remedy"])
        case _:
            limits = [f"{word} {context[name]:g}" for name, word in _BOUNDS.items() if name in context]
            return f"Give a value {' and '.join(limits)}." if limits else None
