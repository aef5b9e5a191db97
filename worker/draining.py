"""A graceful end: SIGTERM at the parent makes each child give back what it holds, between two batches.

Celery waits for running tasks and tells them nothing; a training of an hour would outlast every grace period. So the parent
passes the word on by a signal of our own, and the child's heartbeat raises `Draining` at the next check.
"""

import contextlib
import os
import signal
from types import FrameType

from celery import signals
from celery.concurrency.prefork import TaskPool
from celery.worker.consumer import Consumer

from worker.lease import draining

_DRAIN = signal.SIGUSR2
_pools: list[TaskPool] = []


def install() -> None:
    """Connect to Celery's signals; called once, when the parent and each child import the tasks."""
    signals.worker_ready.connect(_remember_pool)
    signals.worker_shutting_down.connect(_pass_the_word)
    signals.worker_process_init.connect(_listen)


def _remember_pool(sender: Consumer, **_: object) -> None:
    _pools.append(sender.pool)


def _pass_the_word(**_: object) -> None:
    for pool in _pools:
        for pid in pool.info["processes"]:
            # A child that has just ended has nothing to give back.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, _DRAIN)


def _listen(**_: object) -> None:
    signal.signal(_DRAIN, _drain)


def _drain(_number: int, _frame: FrameType | None) -> None:
    draining.set()
