"""What a process of a worker does from its first moment on: read queues and work, or reap. Its parent has loaded all this.

Celery works in the process itself (its pool `solo`), so that a message is taken only when the process can act on it. One that is
asked to end raises `Draining` in its work between two steps (worker.lease), gives back what it holds, and ends.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
from celery import signals
from celery.apps.worker import Worker
from kombu.transport import redis as _redis  # noqa: F401  # what Celery loads when it starts is loaded once, too

from noisegate import tracing
from worker import idling, metrics
from worker.app import app
from worker.endings import Ended
from worker.lease import draining
from worker.reaper import Reaper
from worker.resources import number_process, open_resources

log = structlog.get_logger(__name__)

# What ends a process.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Lifeline:
    """A pipe that nothing is written to: it breaks when the parent is gone, killed or not."""

    reader: Connection
    writer: Connection


def consume(name: str, lifeline: Lifeline, queues: Sequence[str], number: int) -> None:
    """Work on what comes through these queues, the first before the others.

    Args:
        number: among the processes that train.
    """
    _begin(name, lifeline)
    number_process(number)
    idling.end_after(open_resources().settings.idle_seconds)
    signals.worker_shutting_down.connect(_drain)
    signals.worker_ready.connect(_take_a_hangup_as_the_end)
    # Without a concurrency of one, Celery would keep messages back for as many processes as there are cores.
    reader = Worker(
        app=app,
        pool_cls="solo",
        concurrency=1,
        queues=",".join(queues),
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    try:
        reader.start()
    finally:
        tracing.stop()
    sys.exit(reader.exitcode)


def reap(name: str, lifeline: Lifeline, processes: int, device: str, ended: Ended) -> None:
    """Look after rows and files, and say that the worker runs.

    Args:
        processes, device: what the worker says of itself: how many processes train, and on what.
    """
    _begin(name, lifeline)
    resources = open_resources()
    settings = resources.settings
    if settings.worker_metrics_port:
        try:
            metrics.serve(settings.worker_metrics_host, settings.worker_metrics_port)
        except OSError as error:
            log.critical("not_started", reason=f"metrics cannot be served: {error}")
            sys.exit(os.EX_CONFIG)
    reaper = Reaper(resources, ended, processes=processes, device=device)
    for number in SIGNALS:
        signal.signal(number, lambda *_: reaper.stop())
    reaper.run()


def _begin(name: str, lifeline: Lifeline) -> None:
    """Undo what the parent's signals are to it alone, and follow it when it goes."""
    signal.set_wakeup_fd(-1)
    for number in (*SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    lifeline.writer.close()  # the parent's alone, or it would never break
    threading.Thread(target=_end_with_the_parent, args=(lifeline.reader,), name="parent", daemon=True).start()
    with suppress(OSError):  # Linux alone: what `top` and `ps` show
        Path("/proc/self/comm").write_text(name)


def _end_with_the_parent(lifeline: Connection) -> None:
    lifeline.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)


def _drain(**_: object) -> None:
    draining.set()


def _take_a_hangup_as_the_end(**_: object) -> None:
    """Celery would start the whole command anew."""
    signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
