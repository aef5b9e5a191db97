"""The tasks. A message only says that there is work; what to do is claimed from the rows."""

import structlog

from noisegate.store.wakeups import INGEST, TRAIN
from worker import draining
from worker.app import app
from worker.resources import open_resources

draining.install()


@app.task(name=TRAIN)
def train(id: str) -> None:
    """Claim and train what has waited longest; `id`, the row that caused the message, only stands in the logs."""
    # torch is imported here and not above: the parent, which supervises and never trains, imports this module too.
    from worker.training import train_oldest

    with structlog.contextvars.bound_contextvars(woken_for=id):
        train_oldest(open_resources())


@app.task(name=INGEST)
def ingest(id: str) -> None:
    """Ingest this dataset if nobody holds it; otherwise the one that has waited longest."""
    # Decoders and scikit-learn, likewise.
    from worker.ingestion import ingest_one

    with structlog.contextvars.bound_contextvars(woken_for=id):
        ingest_one(open_resources(), id)
