"""The tasks. A message only says that there is work; what to do is claimed from the rows."""

import structlog

from noisegate.later import loaded
from noisegate.store.wakeups import DERIVE, INGEST, TRAIN
from worker.app import app
from worker.idling import at_work
from worker.resources import open_resources

# By name, found at the first message: the parent process, which supervises and never works, imports this module too, and
# must load neither torch nor scikit-learn nor decoders.
_TRAIN_OLDEST = "worker.training:train_oldest"
_INGEST_ONE = "worker.ingestion:ingest_one"
_MAKE_ONE = "worker.derived:make_one"


@app.task(name=TRAIN)
def train(id: str) -> None:
    """Claim and train what has waited longest; `id`, the row that caused the message, only stands in the logs."""
    with at_work(), structlog.contextvars.bound_contextvars(woken_for=id):
        loaded(_TRAIN_OLDEST)(open_resources())


@app.task(name=INGEST)
def ingest(id: str) -> None:
    """Ingest this dataset if it is not held; otherwise the one that has waited longest."""
    with at_work(), structlog.contextvars.bound_contextvars(woken_for=id):
        loaded(_INGEST_ONE)(open_resources(), id)


@app.task(name=DERIVE)
def derive(id: str) -> None:
    """Make this derived artefact if it is not held; otherwise the one that has waited longest."""
    with at_work(), structlog.contextvars.bound_contextvars(woken_for=id):
        loaded(_MAKE_ONE)(open_resources(), id)
