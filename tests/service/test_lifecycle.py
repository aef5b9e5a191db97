"""Arbitrary sequences of calls against one model of the lifecycle: no execution is lost, none counts twice, none goes back.

People's calls go over HTTP, workers' through the store, as in production. After every step the whole of what the service
shows must be what the model says.
"""

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule
from starlette.testclient import TestClient

from migrations.run import upgrade
from noisegate.store import claims, events, executions, experiments, expiry, leases
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Execution, Experiment
from service.app import create_app
from tests import factories
from tests.conftest import examples
from tests.service.lifecycle_model import EXECUTION_FAILED, Model

MAX_LOSSES = 2
LEASE_SECONDS = 60.0
# What one experiment may look like: two cells, or two cells that wait for a base of their own.
PLAIN: dict[str, Any] = {
    "dataset": "pets",
    "executions": 2,
    "training": {"epochs": 3},
    "noise": {"family": "uniform"},
    "sweep": {"noise.quantity": [0, 1]},
}
SUBGROUPS: dict[str, Any] = PLAIN | {
    "training": {"epochs": 3, "batch_size": 5},
    "sweep": {"subgroup.correct": ["hc", "lc"]},
    "subgroup": {"correct": "hc", "wrong": "hs", "fraction": 0.5},
}


@functools.cache
def _migrated() -> Path:
    file = Path(tempfile.mkdtemp(prefix="noisegate-lifecycle-")) / "noisegate.db"
    upgrade(f"sqlite:///{file}")
    return file


class Lifecycle(RuleBasedStateMachine):
    """Experiments come and go; leases are kept by workers of every kind, zombies included."""

    posted = Bundle("posted")
    held = Bundle("held")
    past = Bundle("past")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        data = Path(self.folder.name)
        shutil.copy(_migrated(), data / "noisegate.db")
        # Nobody listens there: wake-ups are hints, and none of this depends on them.
        settings = Settings(data_dir=data, broker_url="memory://", min_free_bytes=0)
        self.client = TestClient(create_app(settings), "http://127.0.0.1", raise_server_exceptions=False)
        self.client.__enter__()
        self.sessions: Sessions = self.client.app_state["resources"].sessions
        with self.sessions.begin() as session:
            factories.ready_dataset(session)
        self.model = Model(MAX_LOSSES)

    def teardown(self) -> None:
        self.client.__exit__(None, None, None)
        self.folder.cleanup()

    # What people do.

    @precondition(lambda self: len(self.model.experiments) < 3)
    @rule(target=posted, subgroups=st.booleans(), time_limit=st.sampled_from([None, 3600]))
    def post(self, subgroups: bool, time_limit: int | None) -> str:
        params = {"time_limit": time_limit} if time_limit else {}
        answer = self.client.post("/experiments", params=params, json=SUBGROUPS if subgroups else PLAIN)
        assert answer.status_code == 202, answer.text
        id: str = answer.json()["id"]
        with self.sessions.reading() as session:
            self.model.post(id, executions.of_experiment(session, id))
        return id

    @rule(id=posted)
    def cancel(self, id: str) -> None:
        assert self.client.post(f"/experiments/{id}/cancel").status_code == self.model.cancel(id)

    @rule(id=posted, dry_run=st.booleans())
    def delete(self, id: str, dry_run: bool) -> None:
        status = self.client.delete(f"/experiments/{id}", params={"dry_run": dry_run}).status_code
        assert status == self.model.delete(id, dry_run=dry_run)

    # What workers do.

    @rule(target=held, owner=st.sampled_from(["a/1", "b/2"]), capacity=st.integers(1, 3))
    def claim(self, owner: str, capacity: int) -> object:
        with self.sessions.begin() as session:
            granted = claims.claim(session, owner=owner, lease_seconds=LEASE_SECONDS, capacity=capacity)
        assert granted is not None
        assert sorted(lease.id for lease in granted) == sorted(self.model.claim(owner, capacity))
        return multiple(*granted)

    @rule(target=past, lease=consumes(held), outcome=st.sampled_from(["succeeded", "failed", "released"]))
    def end(self, lease: Lease, outcome: str) -> Lease:
        if not self.model.holds(lease):
            return self._refused(lease)
        with self.sessions.begin() as session:
            match outcome:
                case "succeeded":
                    executions.record_success(session, lease, factories.outcome())
                case "failed":
                    executions.record_failure(session, lease, EXECUTION_FAILED)
                case _:
                    executions.release(session, lease)
        self.model.end(lease.id, outcome)
        return lease

    @rule(target=past, lease=consumes(held))
    def stop_renewing(self, lease: Lease) -> Lease:
        if not self.model.holds(lease):
            return self._refused(lease)
        with self.sessions.begin() as session:
            leases.renew(session, Execution, lease, lease_seconds=-1)
        self._reap([lease.id])
        return lease

    @rule(worker=st.sampled_from(["a", "b"]))
    def die(self, worker: str) -> None:
        """The only process of a worker dies, and its parent sees it. The leases stay in `held`, as zombies'."""
        with self.sessions.begin() as session:
            dead = expiry.expire(session, expiry.owners(session, worker), lambda _: EXECUTION_FAILED)
        assert sorted(dead) == sorted(self.model.held_by(worker))
        self._reap(dead)

    @rule(lease=held, epoch=st.integers(1, 2))
    def renew(self, lease: Lease, epoch: int) -> None:
        if not self.model.holds(lease):
            self._refused(lease)
            return
        with self.sessions.begin() as session:
            go_on = factories.renew(session, lease, LEASE_SECONDS, epochs_done=epoch)
        assert go_on == self.model.renew(lease.id, epoch)

    @rule(lease=held, epoch=st.integers(1, 2))
    def write_checkpoint(self, lease: Lease, epoch: int) -> None:
        if not self.model.holds(lease):
            self._refused(lease)
            return
        with self.sessions.begin() as session:
            executions.note_checkpoint(session, lease, factories.digest(epoch), epoch)
        self.model.executions[lease.id].checkpoint = epoch

    @rule(lease=past)
    def come_back_from_the_dead(self, lease: Lease) -> None:
        self._refused(lease)

    @rule(id=posted)
    def miss_the_deadline(self, id: str) -> None:
        with self.sessions.begin() as session:
            if (experiment := session.get(Experiment, id)) is None or experiment.deadline is None:
                return
            experiment.deadline = 1.0
        with self.sessions.begin() as session:
            assert experiments.expire(session) == self.model.expire(id)

    def _reap(self, lost: list[str]) -> None:
        with self.sessions.begin() as session:
            reaped = expiry.reap(session, lease_seconds=LEASE_SECONDS, max_losses=MAX_LOSSES, error=EXECUTION_FAILED)
        found = reaped.requeued + reaped.failed + reaped.cancelled
        assert sorted(found) == sorted(lost), "those and no others"
        for id in found:
            self.model.lose(id)

    def _refused(self, lease: Lease) -> Lease:
        with pytest.raises(LeaseLost), self.sessions.begin() as session:
            executions.record_success(session, lease, factories.outcome())
        return lease

    # What everybody sees.

    @invariant()
    def the_service_shows_what_the_model_says(self) -> None:
        listed = self.client.get("/experiments", params={"limit": 100}).json()["items"]
        assert {item["id"]: item["state"] for item in listed} == self.model.states()
        for item in listed:
            assert {state: count for state, count in item["counts"].items() if count} == self.model.counts(item["id"])
            assert self._rows(item["id"]) == self.model.rows(item["id"])
            self._check_events(item["id"])

    def _rows(self, id: str) -> dict[str, tuple[str, int, int]]:
        items = self.client.get(f"/experiments/{id}/executions", params={"limit": 100}).json()["items"]
        return {item["id"]: (item["state"], item["attempt"], item["epochs_done"]) for item in items}

    def _check_events(self, id: str) -> None:
        with self.sessions.reading() as session:
            rows = [(event.number, event.type, event.data) for event in events.after(session, id, 0, limit=10_000)]
        assert [number for number, _, _ in rows] == list(range(1, len(rows) + 1))
        told: list[tuple[str, dict[str, Any]]] = [(type, data) for _, type, data in rows]
        assert [type for type, _ in told if type != "epoch"] == self.model.events(id)
        finished = [data["state"] for type, data in told if type == "finished"]
        assert finished == ([self.model.states()[id]] if told[-1][0] == "finished" else [])


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = hypothesis_settings(max_examples=examples(40), stateful_step_count=25, deadline=None)
