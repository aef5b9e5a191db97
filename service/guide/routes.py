"""GET /docs/guide/…: the files of the guide, for everybody, as the interactive documentation is."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from noisegate.errors import NotFound
from service.deps import ResourcesDep
from service.guide import PREFIX

_NOT_BUILT = (
    "Build it with `make docs` in a checkout, and start the service again, or name the folder of a built one in "
    "NOISEGATE_GUIDE_DIR. The same pages are in the folder docs of the source."
)

router = APIRouter(prefix=PREFIX, include_in_schema=False)


@router.get("")
async def get_guide() -> Response:
    """Its first page: links in it are relative to a folder."""
    return RedirectResponse(f"{PREFIX}/", 307)


@router.get("/{name:path}")
async def get_file(
    name: str,
    resources: ResourcesDep,
    q: Annotated[str | None, Query(description="What the search page looks for, in the browser.")] = None,
    v: Annotated[str | None, Query(description="Changes with a file, so that browsers do not use an old one.")] = None,
) -> Response:
    """A page, picture, script or stylesheet of the guide."""
    del q, v  # for the browser alone
    try:
        content, media_type = await run_in_threadpool(resources.guide.read, name or "index.html")
    except KeyError:
        if not resources.guide:
            raise NotFound("this service has no guide", remedy=_NOT_BUILT) from None
        remedy = f"Begin at {PREFIX}/ or search for it there."
        raise NotFound(f"the guide has no page {name!r}", field="name", remedy=remedy) from None
    return Response(content, media_type=media_type)
