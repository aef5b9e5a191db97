"""`python -m worker.main`: one worker, with a training process a core, or a GPU, and processes for data."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from celery import signals
from celery.worker.consumer import Consumer

from noisegate import tracing
from noisegate.store.settings import Settings, load_settings
from noisegate.store.wakeups import QUEUES, TRAIN
from worker import metrics
from worker.app import app, consuming
from worker.data_processes import DataProcesses
from worker.processes import Processes
from worker.reaper import Reaper
from worker.resources import name_worker, open_resources
from worker.sizing import fitting_processes

log = structlog.get_logger(__name__)


def main() -> None:
    """Run until SIGTERM; claims are then given back and the process exits within seconds."""
    settings = load_settings()
    if reason := tracing.unavailable():
        log.error("not_started", reason=reason)
        sys.exit(os.EX_CONFIG)
    # One thread a process: processes share the work better than threads do, and results do not depend on their number.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    processes = count_processes(settings)
    worker, driver = name_worker(), settings.sqlalchemy_url.drivername
    log.info(
        "worker_starts", worker=worker, processes=processes, data_processes=settings.data_processes, database=driver
    )
    queues = [QUEUES[TRAIN]] if settings.data_processes else QUEUES.values()
    with _metrics(settings), _data_processes(settings) as data:
        signals.worker_ready.connect(partial(_start_reaper, data=data), weak=False)
        app.worker_main(consuming(queues, "--pool=prefork", f"--concurrency={processes}"))


@contextmanager
def _data_processes(settings: Settings) -> Iterator[DataProcesses]:
    data = DataProcesses(settings.data_processes)
    data.start()
    try:
        yield data
    finally:
        data.close()


@contextmanager
def _metrics(settings: Settings) -> Iterator[None]:
    if settings.worker_metrics_port == 0:
        metrics.count_for_nobody()
        yield
        return
    with TemporaryDirectory(prefix="noisegate-metrics-") as folder:
        metrics.serve(settings.worker_metrics_host, settings.worker_metrics_port, Path(folder))
        yield


def count_processes(settings: Settings) -> int:
    """One process for each GPU there is, unless the CPU is asked for; without a GPU, as many as the settings say or fit.

    The devices are counted by their files: this process supervises, and loading CUDA to ask would take hundreds of MiB.
    """
    return _count_gpus(settings) or settings.worker_processes or fitting_processes(settings.data_processes)


def _count_gpus(settings: Settings) -> int:
    if settings.device == "cpu":
        return 0
    found = len(list(Path("/dev").glob("nvidia[0-9]*")))
    # CUDA shows a process no others than these, as numbers or names; an empty list hides all.
    if (shown := os.environ.get("CUDA_VISIBLE_DEVICES")) is None:
        return found
    return min(found, sum(one.strip() not in ("", "-1") for one in shown.split(",")))


def _start_reaper(sender: Consumer, *, data: DataProcesses, **_: object) -> None:
    resources = open_resources()
    gpus = _count_gpus(resources.settings)
    device = f"{gpus} GPU{'s' * (gpus > 1)}" if gpus else "cpu"
    reaper = Reaper(resources, Processes(sender.pool, data), device=device)

    def end(**_: object) -> None:
        reaper.stop()
        data.drain()

    signals.worker_shutting_down.connect(end, weak=False)
    reaper.start()


if __name__ == "__main__":
    main()
