"""GET /docs: the OpenAPI document in Swagger UI, from this service alone."""

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from service.pages.frame import templates

PATH = "/docs"
# FastAPI's other page of documentation, which people know by heart.
_REDOC = "/redoc"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
def get_docs(request: Request) -> Response:
    """The page; who may read it need not show a key, but what is tried out on it needs one, as everywhere."""
    root = request.scope.get("root_path", "")
    return HTMLResponse(templates().get_template("api_docs.html").render(root=root))


@router.get(_REDOC)
def get_redoc() -> Response:
    """There is one page of documentation."""
    return RedirectResponse(PATH)
