"""What the document says of problems below /v2: they have the member `error` that the protocol asks for."""

from typing import Any

from service.errors import PROBLEM_JSON, problems

_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "`detail` and `remedy`, for clients of the protocol."}},
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries for answers with these statuses, and for those that every route may give."""
    documented = problems(*statuses, 500, 503)
    for answer in documented.values():
        content = answer["content"][PROBLEM_JSON]
        content["schema"] = {"allOf": [content["schema"], _ERROR]}
    return documented
