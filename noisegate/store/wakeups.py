"""Wake-up messages: hints that there is work. Sent after the commit, with ids only; a lost one costs seconds.

The rows are the truth. Nothing here may make a request fail, so a broker that is away is logged and left to the reaper.
"""

import structlog
from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from noisegate.store.settings import Settings

log = structlog.get_logger(__name__)

# Task names and queues, shared with worker.tasks.
TRAIN = "noisegate.train"
INGEST = "noisegate.ingest"
DERIVE = "noisegate.derive"
QUEUES = {INGEST: "ingestion", DERIVE: "derivation", TRAIN: "training"}


def celery_app(settings: Settings) -> Celery:
    """A Celery application that can send; the worker's adds its own settings to the same base."""
    app = Celery("noisegate", broker=settings.celery_broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_routes={task: {"queue": queue} for task, queue in QUEUES.items()},
        broker_connection_timeout=3,
        broker_transport_options={
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            # A request that finds the broker away gives up soon; the reaper will wake its rows.
            "connect_retries_timeout": 1,
            # Queues are looked at in the order a worker names them: a short ingestion goes before what takes long.
            "queue_order_strategy": "priority",
        },
    )
    return app


class Wakeups:
    """Sends wake-ups through one Celery application."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def train(self, id: str, count: int = 1) -> None:
        """Wake `count` training processes; each claims whatever has waited longest. `id` is for the logs."""
        self._send(TRAIN, id, count)

    def ingest(self, dataset_id: str) -> None:
        """Wake a worker to ingest this dataset."""
        self._send(INGEST, dataset_id, 1)

    def derive(self, derived_id: str) -> None:
        """Wake a worker to make this derived artefact."""
        self._send(DERIVE, derived_id, 1)

    def waiting(self, task: str) -> int:
        """Messages of this task that no worker has taken yet.

        Raises:
            OperationalError: the broker cannot be reached.
        """
        with self._app.connection_for_read() as connection:
            try:
                return int(connection.default_channel.queue_declare(queue=QUEUES[task], passive=True).message_count)
            except ChannelError:
                return 0  # Redis has no empty lists: a queue without messages does not exist.
            except connection.recoverable_connection_errors as error:
                # kombu translates what goes wrong while connecting, not what goes wrong afterwards.
                raise OperationalError(str(error)) from error

    def _send(self, task: str, id: str, count: int) -> None:
        try:
            for _ in range(count):
                self._app.send_task(task, args=[id], retry=False)
        except OperationalError as error:
            log.warning("wakeup_not_sent", task=task, id=id, error=str(error))
