"""What happened to an experiment, told as it happens: text/event-stream, as browsers' EventSource reads it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from noisegate.errors import NotFound, QuotaExceeded
from noisegate.store import events
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
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


@dataclass(frozen=True)
class Told:
    """The same as it is sent: each event's number and bytes."""

    after: int
    parts: tuple[tuple[int, bytes], ...]
    over: bool

    @property
    def last(self) -> int:
        """The number of the last of them."""
        return self.parts[-1][0] if self.parts else self.after

    def since(self, after: int) -> "Told":
        """Without those up to this number."""
        return Told(after, tuple(part for part in self.parts if part[0] > after), self.over)


class Watch:
    """Looks and reads on behalf of all streams of this process: what happened is read and written once, however many are open.

    It sees rows of all owners. A stream waits here only once its own caller was let in to the experiment.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._waiting: dict[str, dict[asyncio.Future[Told | None], int]] = {}
        self._somebody = asyncio.Event()
        self.ending = False

    async def news_after(self, experiment_id: str, after: int, seconds: float) -> Told | None:
        """What happened after this number, once something has.

        None after `seconds`, and where a stream has to look itself.
        """
        waiter: asyncio.Future[Told | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(experiment_id, {})[waiter] = after
        self._somebody.set()
        try:
            async with asyncio.timeout(seconds):
                return await waiter
        except TimeoutError:
            return None
        finally:
            of_same = self._waiting[experiment_id]
            del of_same[waiter]
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
            asked = {id: min(streams.values()) for id, streams in self._waiting.items()}
            try:
                # Without an answer, and at the end of the process, all of them look for themselves.
                found = {} if self.ending else await in_a_thread(self._look, asked)
            except sa.exc.SQLAlchemyError:
                found = {}
            for id, streams in self._waiting.items():
                _give(streams, found.get(id))

    def _look(self, asked: Mapping[str, int]) -> dict[str, Told]:
        """What happened to each of these experiments after a number; those that are gone are missing."""
        query = sa.select(Experiment.id, Experiment.state, Experiment.last_event).where(Experiment.id.in_(asked))
        with self._sessions.reading() as session:
            return {
                id: _written(_read(session, id, state, newest, asked[id]), asked[id])
                for id, state, newest in session.execute(query).all()
            }


def _give(streams: Mapping[asyncio.Future[Told | None], int], found: Told | None) -> None:
    for waiter, after in streams.items():
        if waiter.done():
            continue
        if found is None:
            waiter.set_result(None)
        elif found.after <= after < found.last:  # one that came meanwhile may ask for more
            waiter.set_result(found.since(after))


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
        return _read(session, experiment_id, row.state, row.last_event, after)


def _read(session: Session, experiment_id: str, state: State, newest: int, after: int) -> News:
    found = events.after(session, experiment_id, after, limit=PAGE) if newest > after else []
    last = found[-1].number if found else after
    return News(found, last, state.terminal and last >= newest)


def _written(found: News, after: int) -> Told:
    return Told(after, tuple((event.number, _encoded(event)) for event in found.events), found.over)


async def _told(streams: Streams, sessions: Sessions, experiment_id: str, after: int) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RECONNECT_MILLISECONDS)
    began = said = time.monotonic()
    found: Told | None = None
    while not streams.ending and time.monotonic() - began < LONGEST_SECONDS:
        try:
            found = found or _written(await run_in_threadpool(news, sessions, experiment_id, after), after)
        except NotFound:
            return  # it was deleted meanwhile
        except sa.exc.SQLAlchemyError as error:
            # The client comes again, and is told then what is wrong.
            log.warning("stream_ended", experiment=experiment_id, error=type(error).__name__)
            return
        for _, part in found.parts:
            yield part
        if found.over:
            return
        after, full = found.last, len(found.parts) >= PAGE
        if found.parts:
            said = time.monotonic()
        elif time.monotonic() - said >= KEEPALIVE_SECONDS:
            said = time.monotonic()
            yield KEEPALIVE_COMMENT
        until = min(said + KEEPALIVE_SECONDS, began + LONGEST_SECONDS)
        waiting = max(0.0, until - time.monotonic())
        found = None if full else await streams.watch.news_after(experiment_id, after, waiting)


def _encoded(event: Event) -> bytes:
    data = EventRead.of(event).model_dump_json()
    return format_sse_event(data_str=data, event=event.type, id=str(event.number))
