"""The Celery application of the worker; `python -m worker.main` runs it.

Messages are hints, so they are acknowledged early and nothing depends on their redelivery.
"""

from collections.abc import Iterable

from celery import signals

from noisegate import tracing
from noisegate.logs import configure_logs
from noisegate.store.settings import load_settings
from noisegate.store.wakeups import celery_app

# Here and not in main: the processes that Celery spawns import this module, and nothing of main.
configure_logs(load_settings().log_format)


def _keep_logs_as_they_are(**_: object) -> None:
    """Celery sets up logs of its own unless somebody listens here."""


def _start_tracing(**_: object) -> None:
    tracing.start("noisegate-worker")


def _stop_tracing(**_: object) -> None:
    tracing.stop()


signals.setup_logging.connect(_keep_logs_as_they_are)
signals.worker_process_init.connect(_start_tracing)
signals.worker_process_shutdown.connect(_stop_tracing)
app = celery_app(load_settings())
app.conf.update(
    include=["worker.tasks"],
    # CUDA cannot follow a fork, and neither can open database connections.
    worker_pool_start_method="spawn",
    # A spawned process imports everything anew; the default of 4 s would kill it on a busy machine.
    worker_proc_alive_timeout=120,
    # A message held back behind a long execution would be one that an idle worker does not get.
    worker_disable_prefetch=True,
    task_acks_late=False,
    task_create_missing_queues=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
)


def consuming(queues: Iterable[str], *pool: str) -> list[str]:
    """Celery's command line for a worker of these queues, the first before the others, with options of its pool."""
    silent = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING")
    return ["worker", *pool, f"--queues={','.join(queues)}", *silent]
