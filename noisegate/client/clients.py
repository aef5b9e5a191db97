"""The two clients: the same namespaces with the same methods, of which one answers and the other returns coroutines.

```python
with Noisegate("http://127.0.0.1:8000") as client:
    dataset = client.datasets.wait(client.datasets.upload("photos", name="birds").id)
    experiment = client.experiments.create(preset="recommended", dataset=dataset.id)
    client.experiments.wait(experiment.id)
    print(client.models.classify("bird.jpg").label)
```
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Self

from noisegate.api.answers import ReadinessAnswer
from noisegate.client.flows import DEFAULT_URL, Flow, Request
from noisegate.client.fronts import Async, AsyncFront, Front, Mode, Resource, Sync, SyncFront, operation
from noisegate.client.resources.datasets import Datasets
from noisegate.client.resources.experiments import Experiments
from noisegate.client.resources.models import Aliases, Models
from noisegate.client.resources.others import Backbones, Presets, Workers


class _Service(Resource[Mode]):
    """All calls, by what they are about. Each may raise what `noisegate.client.errors` lists."""

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self.datasets: Datasets[Mode] = Datasets(front)
        self.experiments: Experiments[Mode] = Experiments(front)
        self.models: Models[Mode] = Models(front)
        self.aliases: Aliases[Mode] = Aliases(front)
        self.presets: Presets[Mode] = Presets(front)
        self.backbones: Backbones[Mode] = Backbones(front)
        self.workers: Workers[Mode] = Workers(front)

    @property
    def base_url(self) -> str:
        """The address of the service."""
        return self._front.base_url

    @operation
    def readiness(self) -> Flow[ReadinessAnswer]:
        """What /readyz says, ready or not; asked once."""
        response = yield from self._front.ask(Request(method="GET", path="/readyz"))
        return self._front.parsed(response, ReadinessAnswer)


class Noisegate(_Service[Sync]):
    """A service, asked synchronously.

    Args:
        base_url: address of the service.
        timeout: seconds that connecting, and each read or write, may take.
        api_key: shown with every request; by default NOISEGATE_API_KEY of the environment, if that is set.
        max_retries: how often a request is sent again after a connection that broke, a 429 or a 5xx, where that cannot do anything
            twice.
        patience_seconds: how long `wait`, and posting an experiment, bears a service that does not answer.
        sleep: makes the pauses; one that raises ends the waiting.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        timeout: float = 30.0,
        *,
        api_key: str | None = None,
        max_retries: int = 2,
        patience_seconds: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sync = SyncFront(base_url, timeout, api_key, max_retries, patience_seconds, sleep=sleep)
        super().__init__(self._sync)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._sync.close()


class AsyncNoisegate(_Service[Async]):
    """A service, asked from coroutines. Arguments as for `Noisegate`; `sleep` is awaited."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        timeout: float = 30.0,
        *,
        api_key: str | None = None,
        max_retries: int = 2,
        patience_seconds: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._async = AsyncFront(base_url, timeout, api_key, max_retries, patience_seconds, sleep=sleep)
        super().__init__(self._async)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give all connections back."""
        await self._async.close()
