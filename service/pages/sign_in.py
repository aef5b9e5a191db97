"""Signing in with a key and out again. Both are forms, and work without JavaScript."""

import hmac
import re
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from starlette.responses import RedirectResponse

from noisegate.store.keys import Scope
from service.access import Caller
from service.browsers import check_same_origin, cookie, token_of
from service.deps import resources_of
from service.errors import Forbidden, Unauthenticated
from service.guard import door_of
from service.pages.frame import html

_HOME, _CLASSIFY = "/ui", "/ui/classify"
_MOST = 300
# A path of ours, and nothing that a browser could take for another website: no dots, no two slashes, no query.
_PAGE = re.compile(r"/ui(?:/[A-Za-z0-9_-]{1,100}){1,6}")

router = APIRouter(prefix="/ui", include_in_schema=False)

Next = Annotated[str, Query(max_length=_MOST)]


@router.get("/sign-in")
async def sign_in_page(request: Request, next: Next = _HOME) -> Response:
    """The form."""
    return html(request, None, "sign_in.html", next=next, wrong=None)


@router.post("/sign-in")
async def sign_in(
    request: Request, key: Annotated[str, Form(max_length=_MOST)], next: Annotated[str, Form(max_length=_MOST)] = _HOME
) -> Response:
    """Exchange a key for a session, always a new one: a cookie that came along is worth nothing from here on."""
    check_same_origin(request.headers)
    try:
        caller = await door_of(request.scope).known(request.scope, f"Bearer {key.strip()}")
    except Unauthenticated:
        wrong = "This key does not open anything: it is mistyped, revoked or expired."
        return html(request, None, "sign_in.html", status=401, next=next, wrong=wrong)
    browsers = resources_of(request).browsers
    if (before := token_of(request.scope)) is not None:
        await browsers.close(before)
    assert caller.key_id is not None, "it came with a key"
    token = await browsers.open(caller.key_id)
    return _to(request, _after(caller, next), token)


@router.post("/sign-out")
async def sign_out(request: Request, csrf: Annotated[str, Form(max_length=_MOST)]) -> Response:
    """End the session here and in the database; what the browser has kept of pages is cleared."""
    check_same_origin(request.headers)
    token = token_of(request.scope)
    browsers = resources_of(request).browsers
    found = await browsers.find(token) if token else None
    if token is not None and found is not None:
        if not hmac.compare_digest(csrf.encode(), found.csrf.encode()):
            raise Forbidden("this form is not of this session", remedy="Load the page again.")
        await browsers.close(token)
    answer = _to(request, "/ui/sign-in", None)
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def _to(request: Request, path: str, token: str | None) -> Response:
    answer = RedirectResponse(request.scope.get("root_path", "") + path, 303)
    answer.headers["Set-Cookie"] = cookie(request.scope, token)
    return answer


def _after(caller: Caller, wanted: str) -> str:
    """Where to go: to a page of this service, whatever the form says."""
    if wanted != _HOME and _PAGE.fullmatch(wanted):
        return wanted
    return _HOME if caller.may(Scope.READ) else _CLASSIFY
