"""The Celery application of the worker; `python -m worker.main` runs it.

Messages are hints, so they are acknowledged early and nothing depends on their redelivery.
"""

from celery import signals

from noisegate import tracing
from noisegate.logs import configure_logs
from noisegate.store.settings import load_settings
from noisegate.store.wakeups import celery_app

# Here as well as in main: where processes are spawned they import this module, and nothing of main.
configure_logs(load_settings().log_format)


def _keep_logs_as_they_are(**_: object) -> None:
    """Celery sets up logs of its own unless somebody listens here."""


def _start_tracing(**_: object) -> None:
    tracing.start("noisegate-worker")


signals.setup_logging.connect(_keep_logs_as_they_are)
signals.worker_process_init.connect(_start_tracing)
app = celery_app(load_settings())
app.conf.update(
    include=["worker.tasks"],
    # A message held back behind a long execution would be one that an idle worker does not get.
    worker_disable_prefetch=True,
    task_acks_late=False,
    # A message wakes the one that waits for it at once; this is how long the broker lets it wait until it asks again.
    broker_transport_options={**app.conf.broker_transport_options, "polling_interval": 5},
    task_create_missing_queues=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
)
