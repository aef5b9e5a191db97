"""One way to ask by both clients."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from noisegate.client import AsyncNoisegate, Noisegate


@dataclass
class Asking:
    """A client of one kind, made for each call; `naps` are the pauses that it made, in seconds."""

    kind: Literal["sync", "async"]
    url: str
    options: dict[str, Any] = field(default_factory=dict)
    naps: list[float] = field(default_factory=list)

    def __call__(self, call: Callable[[Any], Any]) -> Any:
        """What a call gives; the items of what it lists."""
        if self.kind == "async":
            return asyncio.run(self._awaited(call))
        with Noisegate(self.url, sleep=self.naps.append, **self.options) as client:
            found = call(client)
            return list(found) if hasattr(found, "__next__") else found

    async def _awaited(self, call: Callable[[Any], Any]) -> Any:
        async def nap(seconds: float) -> None:
            self.naps.append(seconds)

        async with AsyncNoisegate(self.url, sleep=nap, **self.options) as client:
            found = call(client)
            if hasattr(found, "__anext__"):
                return [item async for item in found]
            assert inspect.isawaitable(found)
            awaitable: Awaitable[Any] = found
            return await awaitable
