"""How long a large experiment takes to come into a notebook, over HTTP."""

import sys
import time

import pytest
import sqlalchemy as sa

from noisegate.client import Noisegate
from noisegate.details import Details
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings
from noisegate.store.states import State
from noisegate.store.tables import Execution
from tests.service.factories import ready_dataset

EXECUTIONS, EPOCHS = 5000, 40


@pytest.mark.nightly
def test_all_curves_are_one_frame_in_five_seconds(service_settings: Settings, service: str) -> None:
    """From the call to the DataFrame, by the clock. `-s` prints the figure that docs/python-client.md has."""
    sessions = open_sessions(service_settings)
    with sessions.begin() as session:
        ready_dataset(session, Artefacts(service_settings.artefact_root))
    with Noisegate(service) as client:
        id = client.experiments.create(dataset="pets", training={"epochs": EPOCHS}, executions=1).id
        _fill(sessions)
        began = time.monotonic()
        frame = client.experiments.curves(id).to_frame()
        seconds = time.monotonic() - began
    sessions.close()
    assert len(frame) == (EXECUTIONS - 1) * EPOCHS
    sys.stdout.write(f"{EXECUTIONS - 1} executions of {EPOCHS} epochs, {len(frame):,} rows: {seconds:.2f} s\n")
    assert seconds <= 5


def _fill(sessions: Sessions) -> None:
    """Copies of the only execution, which have succeeded."""
    losses = [1 / epoch for epoch in range(1, EPOCHS + 1)]
    with sessions.begin() as session:
        (only,) = session.scalars(sa.select(Execution)).all()
        columns = {column.key: getattr(only, column.key) for column in sa.inspect(Execution).mapper.column_attrs}
        ended = columns | {"state": State.SUCCEEDED, "losses_by_epoch": losses, "details": Details(measures={"a": 1.0})}
        many = [ended | {"id": f"exe_{n:05}", "position": n, "place": n} for n in range(1, EXECUTIONS)]
        session.execute(sa.insert(Execution), many)
