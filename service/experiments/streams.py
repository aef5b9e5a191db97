"""What happened to an experiment, told as it happens: text/event-stream, as browsers' EventSource reads it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from noisegate.errors import NotFound, QuotaExceeded
from noisegate.store import events
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Event, Experiment
from service.ending import in_a_thread
from service.experiments.event_schemas import EventRead

log = structlog.get_logger(__name__)

PAGE = 500
LOOK_SECONDS = 0.5
# Proxies end connections on which nothing is said for a minute or so.
KEEPALIVE_SECONDS = 15.0
# Then the client comes again, perhaps to another process, and goes on where it was.
LONGEST_SECONDS = 900.0
RECONNECT_MILLISECONDS = 1000
FULL_RETRY_SECONDS = 10


@dataclass(frozen=True)
class News:
    """What happened after some event; `over` if nothing can come after these."""

    events: Sequence[Event]
    last: int
    over: bool


class Watch:
    """Looks on behalf of all streams of this process: one statement at a time, however many pages are open.

    Rows of all owners are looked at, for their numbers alone: a stream reads its events by itself, as its own caller.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._waiting: dict[str, dict[asyncio.Event, int]] = {}
        self._somebody = asyncio.Event()
        self.ending = False

    async def news_after(self, experiment_id: str, after: int, seconds: float) -> None:
        """Wait until there may be an event after this number, or so many seconds."""
        woken = asyncio.Event()
        self._waiting.setdefault(experiment_id, {})[woken] = after
        self._somebody.set()
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            pass
        finally:
            of_same = self._waiting[experiment_id]
            del of_same[woken]
            if not of_same:
                del self._waiting[experiment_id]

    async def run(self) -> None:
        """Look as long as somebody waits, until cancelled."""
        while True:
            await self._somebody.wait()
            await asyncio.sleep(LOOK_SECONDS)
            if not self._waiting:
                self._somebody.clear()
                continue
            try:
                # Without an answer, and at the end of the process, all of them look for themselves.
                newest = {} if self.ending else await in_a_thread(self._newest, list(self._waiting))
            except sa.exc.SQLAlchemyError:
                newest = {}
            for id, streams in self._waiting.items():
                for woken, after in streams.items():
                    if newest.get(id, after + 1) > after:
                        woken.set()

    def _newest(self, ids: Sequence[str]) -> dict[str, int]:
        query = sa.select(Experiment.id, Experiment.last_event).where(Experiment.id.in_(ids))
        with self._sessions.reading() as session:
            return dict(session.execute(query).all())


class Streams:
    """The streams that this process has open. Used from one event loop, so counting them needs no lock."""

    def __init__(self, most: int, sessions: Sessions) -> None:
        self._most = most
        self._open = 0
        self.watch = Watch(sessions)
        self.ending = False

    def end(self) -> None:
        """All of them end within a look. May be called by a signal handler."""
        self.ending = self.watch.ending = True

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Inside the block one more is open.

        Raises:
            QuotaExceeded: as many as this process keeps are open.
        """
        if self._open >= self._most:
            detail = f"{self._open} streams of events are open, as many as one process of this server keeps"
            remedy = "Come again later, or ask with `Accept: application/json` from time to time."
            raise QuotaExceeded(detail, retry_after_seconds=FULL_RETRY_SECONDS, remedy=remedy)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


class EventStream(EventSourceResponse):
    """The events of an experiment after a number, up to its end. Has its place among the streams as long as it is sent."""

    def __init__(self, streams: Streams, sessions: Sessions, experiment_id: str, after: int) -> None:
        # The second is for nginx, which would gather the events of a while.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Vary": "Accept"}
        super().__init__(_told(streams, sessions, experiment_id, after), headers=headers)
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.place():
            await super().__call__(scope, receive, send)


def news(sessions: Sessions, experiment_id: str, after: int) -> News:
    """At most PAGE events after this number.

    Raises:
        NotFound: no such experiment.
    """
    query = sa.select(Experiment.state, Experiment.last_event).where(Experiment.id == experiment_id)
    with sessions.reading() as session:
        row = session.execute(query).first()
        if row is None:
            remedy = "GET /experiments lists them."
            raise NotFound(f"there is no experiment {experiment_id!r}", field="experiment", remedy=remedy)
        state, newest = row
        found = events.after(session, experiment_id, after, limit=PAGE) if newest > after else []
    last = found[-1].number if found else after
    return News(found, last, state.terminal and last >= newest)


async def _told(streams: Streams, sessions: Sessions, experiment_id: str, after: int) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RECONNECT_MILLISECONDS)
    began = said = time.monotonic()
    while not streams.ending and time.monotonic() - began < LONGEST_SECONDS:
        try:
            found = await run_in_threadpool(news, sessions, experiment_id, after)
        except NotFound:
            return  # it was deleted meanwhile
        except sa.exc.SQLAlchemyError as error:
            # The client comes again, and is told then what is wrong.
            log.warning("stream_ended", experiment=experiment_id, error=type(error).__name__)
            return
        for event in found.events:
            yield _encoded(event)
        if found.over:
            return
        if found.events:
            after, said = found.last, time.monotonic()
        elif time.monotonic() - said >= KEEPALIVE_SECONDS:
            said = time.monotonic()
            yield KEEPALIVE_COMMENT
        if len(found.events) < PAGE:
            until = min(said + KEEPALIVE_SECONDS, began + LONGEST_SECONDS)
            await streams.watch.news_after(experiment_id, after, max(0.0, until - time.monotonic()))


def _encoded(event: Event) -> bytes:
    data = EventRead.of(event).model_dump_json()
    return format_sse_event(data_str=data, event=event.type, id=str(event.number))
