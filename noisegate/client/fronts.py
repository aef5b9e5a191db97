"""The two ways to carry out a flow, and how one definition of a call becomes a method of both clients.

A namespace such as `Datasets` is written once, as `Resource[Mode]`: `Datasets[Sync]` is what `Noisegate.datasets` is, and
`Datasets[Async]` what `AsyncNoisegate.datasets` is. What is decorated with `operation` returns its answer in the one and a
coroutine in the other; what is decorated with `listing` an iterator, or an asynchronous one.
"""

import asyncio
import functools
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

import httpx2

from noisegate.api.base import Answer
from noisegate.client.errors import UnusableFile
from noisegate.client.files import open_file, why_not
from noisegate.client.flows import Core, Flow, Listing, Pause, Request, given, in_turn

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Sync:
    """Marks what belongs to the synchronous client."""


class Async:
    """Marks what belongs to the asynchronous client."""


Mode = TypeVar("Mode", Sync, Async)
Item = TypeVar("Item", bound=Answer)
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class _Ended:
    """A flow has returned."""

    answer: Any


_Step = Request | Pause | _Ended


class Front(Core, ABC):
    """A core that can carry flows out."""

    @abstractmethod
    def carry_out(self, flow: Flow[Any]) -> Any:
        """The flow's answer, or a coroutine that returns it."""

    @abstractmethod
    def listed(self, listing: Listing[Any]) -> Any:
        """An iterator of all items of a collection."""


class Resource(Generic[Mode]):
    """A namespace of calls."""

    def __init__(self, front: Front) -> None:
        self._front = front


class Pages(Iterator[Item]):
    """All items of a collection, fetched page by page as they are taken; none is left out."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items

    def __next__(self) -> Item:
        return next(self._items)

    def to_frame(self) -> Any:
        """All items as a pandas DataFrame, one row each."""
        return _frame(list(self))


class AsyncPages(AsyncIterator[Item]):
    """All items of a collection, fetched page by page as they are taken; none is left out."""

    def __init__(self, items: AsyncIterator[Item]) -> None:
        self._items = items

    async def __anext__(self) -> Item:
        return await anext(self._items)

    async def to_frame(self) -> Any:
        """All items as a pandas DataFrame, one row each."""
        return _frame([item async for item in self])


class operation(Generic[P, T]):  # noqa: N801 (a decorator)
    """A method of both clients, defined by the flow that it carries out."""

    def __init__(self, define: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._define = define
        self.__doc__ = define.__doc__

    @overload
    def __get__(self, resource: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Sync], owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Any, owner: Any) -> Any:
        if resource is None:
            return self

        def call(*arguments: P.args, **named: P.kwargs) -> Any:
            return resource._front.carry_out(self._define(resource, *arguments, **named))

        return _described(call, self._define)


class listing(Generic[P, Item]):  # noqa: N801 (a decorator)
    """A method of both clients, defined by the collection whose items it yields."""

    def __init__(self, define: Callable[Concatenate[Any, P], Listing[Item]]) -> None:
        self._define = define
        self.__doc__ = define.__doc__

    @overload
    def __get__(self, resource: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Sync], owner: Any) -> Callable[P, Pages[Item]]: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: Any) -> Callable[P, AsyncPages[Item]]: ...
    def __get__(self, resource: Any, owner: Any) -> Any:
        if resource is None:
            return self

        def call(*arguments: P.args, **named: P.kwargs) -> Any:
            return resource._front.listed(self._define(resource, *arguments, **named))

        return _described(call, self._define)


class SyncFront(Front):
    """Carries flows out at once. `sleep` makes the pauses; one that raises ends the waiting."""

    def __init__(self, *settings: Any, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(*settings)
        self._sleep = sleep
        self._http = httpx2.Client(**_options(self))

    def close(self) -> None:
        """Give all connections back."""
        self._http.close()

    def carry_out(self, flow: Flow[T]) -> T:
        step = _next(lambda: next(flow))
        while not isinstance(step, _Ended):
            step = self._taken(flow, step)
        return cast(T, step.answer)

    def listed(self, listing: Listing[Any]) -> Pages[Any]:
        return Pages(self._items(listing))

    def _items(self, listing: Listing[Any]) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            items, cursor = self.carry_out(self.page(listing, cursor))
            yield from items
            if cursor is None:
                return

    def _taken(self, flow: Flow[T], step: Request | Pause) -> _Step:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return _next(lambda: flow.send(None))
        try:
            with (
                _content(step, lambda chunks: chunks) as content,
                self._http.stream(step.method, step.path, **content) as response,
            ):
                if step.into is None or not response.is_success:
                    response.read()
                else:
                    _emptied(step.into)
                    for chunk in response.iter_bytes():
                        step.into.write(chunk)
        except httpx2.TransportError as error:
            failure = error
            return _next(lambda: flow.throw(failure))
        return _next(lambda: flow.send(response))


class AsyncFront(Front):
    """Carries flows out in coroutines."""

    def __init__(self, *settings: Any, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        super().__init__(*settings)
        self._sleep = sleep
        self._http = httpx2.AsyncClient(**_options(self))

    async def close(self) -> None:
        """Give all connections back."""
        await self._http.aclose()

    async def carry_out(self, flow: Flow[T]) -> T:
        step = _next(lambda: next(flow))
        while not isinstance(step, _Ended):
            step = await self._taken(flow, step)
        return cast(T, step.answer)

    def listed(self, listing: Listing[Any]) -> AsyncPages[Any]:
        return AsyncPages(self._items(listing))

    async def _items(self, listing: Listing[Any]) -> AsyncIterator[Any]:
        cursor: str | None = None
        while True:
            items, cursor = await self.carry_out(self.page(listing, cursor))
            for item in items:
                yield item
            if cursor is None:
                return

    async def _taken(self, flow: Flow[T], step: Request | Pause) -> _Step:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return _next(lambda: flow.send(None))
        try:
            with _content(step, in_turn) as content:
                async with self._http.stream(step.method, step.path, **content) as response:
                    if step.into is None or not response.is_success:
                        await response.aread()
                    else:
                        _emptied(step.into)
                        async for chunk in response.aiter_bytes():
                            step.into.write(chunk)
        except httpx2.TransportError as error:
            failure = error
            return _next(lambda: flow.throw(failure))
        return _next(lambda: flow.send(response))


def _next(resume: Callable[[], Request | Pause]) -> _Step:
    # Not by letting StopIteration through, which a coroutine may not.
    try:
        return resume()
    except StopIteration as end:
        return _Ended(end.value)


def _options(core: Core) -> dict[str, Any]:
    # A proxy from the environment cannot reach this machine's own loopback address.
    trusts = core.url.host not in _LOOPBACK
    return {"base_url": core.url, "timeout": core.timeout, "headers": core.headers, "trust_env": trusts}


@contextmanager
def _content(request: Request, streamed: Callable[[Iterator[bytes]], Any]) -> Iterator[Mapping[str, Any]]:
    """What httpx2 is told of a request; its files are open until it has been sent."""
    options: dict[str, Any] = {"params": given(request.params), "headers": request.headers}
    if request.json is not None:
        options["json"] = request.json
    if request.content is not None:
        options["content"] = streamed(request.content()) if callable(request.content) else request.content
    if request.timeout is not None:
        options["timeout"] = request.timeout
    with ExitStack() as opened:
        if request.files is not None:
            options["files"] = [(field, (name, _opened(content, opened))) for field, (name, content) in request.files]
        try:
            yield options
        except OSError as error:
            raise UnusableFile(f"a file cannot be read, or written: {why_not(error)}") from error


def _opened(content: bytes | Path, opened: ExitStack) -> bytes | BinaryIO:
    return content if isinstance(content, bytes) else opened.enter_context(open_file(content))


def _emptied(file: BinaryIO) -> None:
    # What an earlier attempt has written is not the beginning of this one.
    file.seek(0)
    file.truncate()


def _described(call: Callable[..., Any], define: Callable[..., Any]) -> Callable[..., Any]:
    functools.update_wrapper(call, define)
    signature = inspect.signature(define)
    call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    return call


def _frame(items: list[Any]) -> Any:
    from noisegate.client.frames import frame_of  # pandas is an extra

    return frame_of(items)
