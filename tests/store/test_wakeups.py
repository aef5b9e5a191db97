"""Wake-ups on a real broker, and without one."""

import time

from noisegate.store.settings import Settings
from noisegate.store.wakeups import INGEST, TRAIN, Wakeups, celery_app
from tests.conftest import PATIENCE


def test_wakeups_wait_in_their_queues(wakeups: Wakeups) -> None:
    assert wakeups.waiting(TRAIN) == 0
    wakeups.train("exp_1", count=3)
    wakeups.ingest("ds_1")
    assert (wakeups.waiting(TRAIN), wakeups.waiting(INGEST)) == (3, 1)


def test_a_broker_that_is_away_costs_a_moment_and_raises_nothing() -> None:
    app = celery_app(Settings(broker_url="redis://127.0.0.1:1/0"))
    started = time.monotonic()
    Wakeups(app).train("exp_1", count=50)
    assert time.monotonic() - started < 5 * PATIENCE
    app.close()
