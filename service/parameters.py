"""Parameters of a query and fields of a form that a route does not have are refused by name: misspelt, they would not be honoured.

One dependency of every route (service.app), so that a new one cannot forget it. What a route has is what OpenAPI says of it.
"""

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.requests import Request

# In a form, so that those that belong in the query can be told by their names.
MOST_FIELDS = 20


class RefuseUnknownQuery:
    """A dependency of every route of one application, which remembers what each of its routes has."""

    def __init__(self) -> None:
        self._names: dict[int, tuple[frozenset[str], frozenset[str]]] = {}

    async def __call__(self, request: Request) -> None:
        """
        Raises:
            RequestValidationError: the query has a parameter that the route does not have, or one twice.
        """
        if not request.scope["query_string"]:
            return
        route = request.scope["route"]
        if (names := self._names.get(id(route))) is None:
            names = self._names[id(route)] = (query_names(route), query_names(route, lists_alone=True))
        check_query(request.query_params, *names)


def check_query(query: QueryParams, known: Collection[str], lists: Collection[str] = ()) -> None:
    """Of a route that reads its query itself; raises as `RefuseUnknownQuery`.

    Args:
        lists: those that may be given more than once.
    """
    given = Counter(name for name, _ in query.multi_items())
    unknown = (_unknown(name, known, known, "parameter") for name in given if name not in known)
    twice = (
        _wrong(name, "is given more than once", "Give it once.")
        for name in given
        if given[name] > 1 and name not in lists
    )
    _raise_any([*unknown, *twice])


def check_form(form: FormData, fields: Collection[str], query: Collection[str]) -> None:
    """Of a form that has no other fields than `fields`, at a route with these parameters in its query.

    Raises:
        RequestValidationError: it has others.
    """
    _raise_any(_wrong_fields(form, fields, query))


def check_only_files(form: FormData, field: str, query: Collection[str]) -> None:
    """Of a form that has files alone, in `field` by its documentation and in whatever field; raises as `check_form`."""
    texts = dict.fromkeys(name for name, value in form.multi_items() if not isinstance(value, UploadFile))
    if field in texts:
        _raise_any([_wrong(field, "is text, and no file", "Send files in it, each with a file name.")])
    files = [name for name in form if name not in texts]
    _raise_any(_wrong_fields(form, [field, *files], query))


def query_names(route: APIRoute, *, lists_alone: bool = False) -> frozenset[str]:
    """The parameters that a route has in its query: those that FastAPI reads, and those that it reads itself and declares.

    Args:
        lists_alone: leave out those that have one value.
    """
    shown = copy.copy(route)
    shown.include_in_schema = True  # pages stand in no document, and have queries all the same
    paths = get_openapi(title="", version="", routes=[shown])["paths"]
    operations = (operation for path in paths.values() for operation in path.values())
    parameters = (one for operation in operations for one in operation.get("parameters", ()))
    return frozenset(
        one["name"]
        for one in parameters
        if one["in"] == "query" and (not lists_alone or one["schema"].get("type") == "array")
    )


def _wrong_fields(form: FormData, fields: Collection[str], query: Collection[str]) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys(form):
        if name in fields:
            continue
        if name in query:
            yield _wrong(name, "is a field of the form, and belongs in the query", f"Give ?{name}=… in the URL.")
        else:
            yield _unknown(name, fields, [*fields, *query], "field")


def _unknown(name: str, known: Collection[str], similar: Collection[str], what: str) -> dict[str, Any]:
    near = get_close_matches(name, similar, n=1)
    meant = f"Did you mean {near[0]}? " if near else ""
    there_are = f"There are: {', '.join(sorted(known))}." if known else "There are none here."
    return _wrong(name, f"is no {what} of this path", meant + there_are)


def _wrong(name: str, message: str, remedy: str) -> dict[str, Any]:
    context = {"message": message, "remedy": remedy}
    return {"type": "wrong_field", "loc": ("query", name), "msg": message, "ctx": context, "input": None}


def _raise_any(errors: Iterable[dict[str, Any]]) -> None:
    if found := list(errors):
        raise RequestValidationError(found)
