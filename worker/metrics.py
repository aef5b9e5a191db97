"""What a worker counts and measures, for Prometheus: its processes in files of a folder, the one that reaps and answers in memory.

prometheus_client decides when it is imported where it counts: `worker.main` names the folder before.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

EPOCH_SECONDS = Histogram(
    "noisegate_epoch_seconds",
    "Time of an epoch, once for each execution; those that are trained together share it.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500),
)
IMAGES_TRAINED = Counter("noisegate_images_trained", "Images that training steps took, of every execution.")
CLAIMS = Counter("noisegate_claims", "Executions that were claimed.")
EXECUTIONS_ENDED = Counter(
    "noisegate_executions_ended", "Executions that this worker let go of, by what became of them.", ["outcome"]
)
LEASES_LOST = Counter("noisegate_leases_lost", "Leases that were found to be lost by their holder.")

OF_REAPER = CollectorRegistry()
REAPED = Counter("noisegate_reaped", "What the reaper did, by kind.", ["kind"], registry=OF_REAPER)
# All that the reaper does, so that each is there, as 0, before it happens first.
REAPER_KINDS = (
    "requeued",
    "failed",
    "cancelled",
    "ingestion_requeued",
    "ingestion_failed",
    "derived_requeued",
    "derived_failed",
    "late",
    "process_died",
    "woken",
)


def note_reaped(kind: str, things: Iterable[object]) -> None:
    """Count these."""
    REAPED.labels(kind).inc(len(list(things)))


class OfWorker(Collector):
    """What all processes of this worker counted, those that have ended included."""

    def __init__(self, folder: Path) -> None:
        self._processes = MultiProcessCollector(CollectorRegistry(), str(folder))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterator[Metric]:
        """The reaper's, and the sums of the others'."""
        own = list(OF_REAPER.collect())
        yield from own
        names = {metric.name for metric in own}
        for metric in self._processes.collect():  # type: ignore[no-untyped-call]
            if metric.name not in names:
                yield metric


def serve(host: str, port: int) -> None:
    """Answer Prometheus, in a thread, with what all processes of this worker count.

    Raises:
        OSError: the port is taken.
    """
    for kind in REAPER_KINDS:
        REAPED.labels(kind)
    registry = CollectorRegistry()
    registry.register(OfWorker(Path(os.environ[SHARED_FOLDER])))
    start_http_server(port, host, registry)
