"""What all pages have in common: templates, navigation, who is signed in, and the headers of an answer."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from noisegate import __version__
from noisegate.store.keys import Scope
from noisegate.store.sessions import Sessions
from service.access import Caller
from service.deps import CallerDep, Resources, ResourcesDep
from service.errors import path_of
from service.pages import assets, words

# Of what is one person's, so no cache in between keeps it; the browser asks each time whether it has changed.
_HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Accept, Cookie"}


@dataclass(frozen=True)
class Link:
    """An entry of the navigation, for callers with the scope."""

    path: str
    text: str
    scope: Scope


NAVIGATION = (
    Link("/ui/experiments", "Experiments", Scope.READ),
    Link("/ui/datasets", "Datasets", Scope.READ),
    Link("/ui/models", "Models", Scope.READ),
    Link("/ui/classify", "Classify", Scope.CLASSIFY),
    Link("/ui/compare", "Compare", Scope.READ),
    Link("/ui/admin", "Admin", Scope.ADMIN),
)


@dataclass(frozen=True)
class Frame:
    """One request for a page: what it needs to read, and how it answers."""

    request: Request
    resources: Resources
    caller: Caller

    @property
    def sessions(self) -> Sessions:
        """They see the rows of the caller and shared ones alone."""
        return self.resources.sessions

    def page(
        self, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
    ) -> Response:
        """The page that a template and these values give."""
        return html(self.request, self.caller, template, status=status, headers=headers, **values)


async def _frame(request: Request, resources: ResourcesDep, caller: CallerDep) -> Frame:
    return Frame(request, resources, caller)


FrameDep = Annotated[Frame, Depends(_frame)]


def html(
    request: Request,
    caller: Caller | None,
    template: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: Any,
) -> Response:
    """A page for a caller; for one who is not known, without navigation."""
    root = request.scope.get("root_path", "")
    shown = [link for link in NAVIGATION if caller and caller.may(link.scope)]
    rendered = (
        templates()
        .get_template(template)
        .render(
            root=root,
            here=path_of(request.scope),
            navigation=shown,
            caller=caller,
            csrf=caller.csrf if caller else None,
            may_train=bool(caller and caller.may(Scope.TRAIN)),
            may_classify=bool(caller and caller.may(Scope.CLASSIFY)),
            version=__version__,
            **values,
        )
    )
    return HTMLResponse(rendered, status, _HEADERS | (headers or {}))


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The templates: everything that is put into one is escaped, and a name that nobody gave is an error."""
    environment = Environment(
        loader=PackageLoader("service.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words.FILTERS)
    environment.globals["asset"] = assets.path_of
    return environment
