"""What the database says of itself, for /metrics: asked at most once in some seconds, and never waited for long."""

import asyncio
import time
from collections.abc import Iterator

import structlog
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from noisegate.store import counts as state_counts
from noisegate.store.counts import StateCounts
from noisegate.store.sessions import Sessions
from service.ending import in_a_thread

log = structlog.get_logger(__name__)

# Prometheus gives a scrape ten seconds, and what this process counted itself is to be told in any case.
_PATIENCE_SECONDS = 4


class DatabaseCounts:
    """Keeps the last count for `kept_seconds`: several who scrape, or one that scrapes often, cost the database one."""

    def __init__(self, sessions: Sessions, *, alive_seconds: float, kept_seconds: float = 5) -> None:
        self._sessions = sessions
        self._alive_seconds = alive_seconds
        self._kept_seconds = kept_seconds
        self._last: StateCounts | None = None
        self._taken_at = float("-inf")
        self._taking: asyncio.Task[None] | None = None

    async def exposition(self) -> bytes:
        """As Prometheus reads it; without the counts while the database is away."""
        registry = CollectorRegistry()
        registry.register(Exposed(await self._look()))
        return generate_latest(registry)

    async def _look(self) -> StateCounts | None:
        if time.monotonic() - self._taken_at < self._kept_seconds:
            return self._last
        if self._taking is None or self._taking.done():
            self._taking = asyncio.create_task(self._take())
        done, _ = await asyncio.wait([self._taking], timeout=_PATIENCE_SECONDS)
        return self._last if done else None

    async def _take(self) -> None:
        try:
            self._last = await in_a_thread(self._count)
            self._taken_at = time.monotonic()
        except SQLAlchemyError as error:
            self._last = None
            log.warning("counts_failed", reason=type(error).__name__)
        except Exception:
            # Raised here, it would be lost.
            self._last = None
            log.exception("counts_failed")

    def _count(self) -> StateCounts:
        with self._sessions.reading() as session:
            return state_counts.take(session, alive_seconds=self._alive_seconds)


_SHOWN = {"derived": "artefacts derived from datasets"}


class Exposed(Collector):
    """Counts as gauges."""

    def __init__(self, found: StateCounts | None) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Each gauge once."""
        found = self._found
        yield GaugeMetricFamily("noisegate_database_up", "Whether the database answers.", value=found is not None)
        if found is None:
            return
        for name, counts in (
            ("executions", found.executions),
            ("experiments", found.experiments),
            ("datasets", found.datasets),
            ("derived", found.derived),
        ):
            family = GaugeMetricFamily(
                f"noisegate_{name}", f"{_SHOWN.get(name, name).capitalize()} in a state.", labels=["state"]
            )
            for state, count in counts.items():
                family.add_metric([state], count)
            yield family
        alive = "Workers whose heartbeat is younger than a lease."
        yield GaugeMetricFamily("noisegate_workers_alive", alive, value=found.workers_alive)
        oldest = "Since the oldest experiment was posted of which an execution could start; 0 without any."
        yield GaugeMetricFamily("noisegate_oldest_queued_seconds", oldest, value=found.oldest_queued_seconds)
