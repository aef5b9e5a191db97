"""`python -m worker.main`: one worker, with a training process a core, or a GPU, processes for data, and a reaper."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from noisegate import tracing
from noisegate.later import later
from noisegate.logs import configure_logs
from noisegate.store.settings import Settings, load_settings
from worker.sizing import fitting_processes

log = structlog.get_logger(__name__)

# Imported when the environment is as all processes are to find it: prometheus_client looks into it once.
_run_processes = later("worker.processes:run_processes")
_SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def main() -> int:
    """Run until SIGTERM; claims are then given back and the process exits within seconds."""
    settings = load_settings()
    configure_logs(settings.log_format)
    if reason := tracing.unavailable():
        log.error("not_started", reason=reason)
        return os.EX_CONFIG
    gpus = _count_gpus(settings)
    with _shared_metrics(settings):
        return int(
            _run_processes(settings, count_processes(settings), f"{gpus} GPU{'s' * (gpus > 1)}" if gpus else "cpu")
        )


@contextmanager
def _shared_metrics(settings: Settings) -> Iterator[None]:
    """A folder in which all processes count, if anybody asks; otherwise in memory, wherever their environment told them to."""
    os.environ.pop(_SHARED_METRICS, None)
    if settings.worker_metrics_port == 0:
        yield
        return
    with TemporaryDirectory(prefix="noisegate-metrics-") as folder:
        os.environ[_SHARED_METRICS] = folder
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


if __name__ == "__main__":
    sys.exit(main())
