"""The whole application, wired: `uvicorn service.app:create_app --factory`. Importing this module connects nowhere."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import Any

from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send
from threadpoolctl import threadpool_limits

from migrations.revisions import await_migration
from noisegate import __version__, tracing
from noisegate.logs import configure_logs
from noisegate.store.remote import open_artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings, load_settings
from noisegate.store.wakeups import Wakeups, celery_app
from service import access, conditional, health, measuring
from service.access import KeyRing
from service.backbones import routes as backbones
from service.browsers import Browsers
from service.classify import batch_routes as classify_batch
from service.classify import routes as classify
from service.classify.models import Classifiers
from service.conditional import ConditionalGet
from service.cors import for_websites
from service.database_counts import DatabaseCounts
from service.datasets import routes as datasets
from service.datasets import thumbnails
from service.datasets import upload_routes as uploads
from service.datasets.registration import register_digits
from service.deps import Resources
from service.ending import in_background, told_of_the_end
from service.errors import install_handlers, problems
from service.experiments import event_routes as events
from service.experiments import routes as experiments
from service.experiments.streams import Streams
from service.fast_path import FastPath
from service.guard import Door, Guard
from service.guide import routes as guide
from service.guide.site import open_site
from service.heads import as_get, without_body
from service.hybrids import routes as hybrids
from service.idempotency import refuse_key_of_dry_run
from service.limits import BodyLimit, limit_of_body
from service.measuring import Measured
from service.models import cards
from service.models import decision_routes as decisions
from service.models import routes as models
from service.noise import routes as noise
from service.open_inference import model_routes as open_inference_models
from service.open_inference import routes as open_inference
from service.openapi import ABOUT, TAGS, finish, operation_id
from service.pages import PAGES, api_docs
from service.pages.problems import ProblemsAsPages
from service.parameters import RefuseUnknownQuery
from service.prefix import below
from service.presets import routes as presets
from service.request_ids import named
from service.results import answer_routes as answers
from service.results import figure_routes as figures
from service.results import open_set_routes as open_set
from service.results import routes as results
from service.samples import export_routes as exports
from service.samples import routes as samples
from service.samples import sheet_routes as sample_sheets
from service.unforeseen import Unforeseen
from service.workers import routes as workers

ROOMS = (
    health,
    measuring,
    presets,
    backbones,
    uploads,
    datasets,
    thumbnails,
    experiments,
    events,
    samples,
    sample_sheets,
    exports,
    results,
    answers,
    figures,
    open_set,
    models,
    cards,
    decisions,
    classify,
    classify_batch,
    open_inference,
    open_inference_models,
    hybrids,
    noise,
    workers,
    api_docs,
    *PAGES,
    guide,
)

# Asked every few seconds for as long as the service lives.
_PROBES = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})


class Application(FastAPI):
    """FastAPI with a fast path beside it, and a document that tells what the middleware does."""

    fast_path: FastPath | None = None
    url_prefix: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As FastAPI's; what the fast path takes goes past it."""
        if scope["type"] == "http":
            if self.url_prefix:
                scope, send = below(self.url_prefix, scope, send)
            if self.fast_path is not None and self.fast_path.takes(scope):
                scope["app"] = self  # Starlette's forms look whether there is one
                await self.fast_path(scope, receive, send)
                return
            send = named(scope, without_body(scope, send))
            scope = as_get(scope)
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The document. Making it takes most of a second, so it is made when first asked for, and kept."""
        if self.openapi_schema is None:
            document = super().openapi()
            finish(document)
            conditional.describe(document)
            access.describe(document, problems(401, 403, 429))
        return super().openapi()


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; without `settings`, those of the environment."""
    settings = settings or load_settings()
    configure_logs(settings.log_format)
    app = Application(
        title="Noisegate",
        summary="Trains image classifiers that can answer 'none of these', and serves them.",
        version=__version__,
        lifespan=_lifespan(settings),
        # A path with a slash too many is a mistake to be told, not to be followed by a second request.
        redirect_slashes=False,
        # FastAPI's pages load their scripts from elsewhere: see service.pages.api_docs.
        docs_url=None,
        redoc_url=None,
        responses=problems(500, 503),
        description=ABOUT,
        openapi_tags=TAGS,
        servers=[{"url": settings.url_prefix or "/"}],
        generate_unique_id_function=operation_id,
        # One span a request, where traces are wanted; metrics and logs are our own.
        telemetry={
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": _is_probe,
        },
    )
    app.url_prefix = settings.url_prefix
    app.add_middleware(BodyLimit, limit=limit_of_body(settings), seconds=settings.body_seconds)
    app.add_middleware(ConditionalGet)
    app.add_middleware(Unforeseen)
    door = Door(settings)
    app.add_middleware(Guard, door=door)
    app.add_middleware(ProblemsAsPages)
    app.add_middleware(Measured)
    app.add_middleware(for_websites, settings=settings)
    routers = [room.router for room in ROOMS]
    of_all = [Depends(RefuseUnknownQuery()), Depends(refuse_key_of_dry_run)]
    install_handlers(app, routers)
    for router in routers:
        app.include_router(router, dependencies=of_all)
    if not tracing.wanted():  # what goes past FastAPI has no span
        app.fast_path = FastPath("POST", "/classify", classify.classify, door, settings)
    return app


def _is_probe(scope: Scope) -> bool:
    return scope["path"] in _PROBES


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Resources]]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Resources]]:
        tracing.start("noisegate-service")
        sessions = open_sessions(settings)
        celery = celery_app(settings)
        artefacts = open_artefacts(settings)
        wakeups = Wakeups(celery)
        try:
            await run_in_threadpool(await_migration, sessions.engine)
            await run_in_threadpool(register_digits, sessions, wakeups)
            classifiers = Classifiers(settings, sessions, artefacts)
            streams = Streams(settings.max_event_streams, sessions)
            site = await run_in_threadpool(open_site, settings)
            counts = DatabaseCounts(sessions, alive_seconds=settings.lease_seconds)
            with threadpool_limits(1), closing(classifiers), told_of_the_end(streams.end):
                keys = KeyRing(settings, sessions)
                browsers = Browsers(settings, sessions)
                async with (
                    in_background(classifiers.keep_fresh()),
                    in_background(keys.keep_fresh()),
                    in_background(streams.watch.run()),
                ):
                    yield {
                        "resources": Resources(
                            settings, sessions, artefacts, wakeups, classifiers, streams, keys, browsers, counts, site
                        )
                    }
        finally:
            celery.close()
            sessions.close()
            await run_in_threadpool(tracing.stop)

    return lifespan
