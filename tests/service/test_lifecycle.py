"""Arbitrary sequences of calls against one model of the lifecycle: no execution is lost, none counts twice, none goes back."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from migrations.run import upgrade
from noisegate.errors import Conflict
from noisegate.store import executions, experiments, leases
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.sessions import Sessions, create_engine
from noisegate.store.states import EXECUTION_MOVES, EXPERIMENT_MOVES, TERMINAL, State
from noisegate.store.tables import Execution
from tests import factories

MAX_LOSSES = 2


class Lifecycle(RuleBasedStateMachine):
    """One experiment of two cells and two executions each; leases are kept by workers of every kind, zombies included."""

    held = Bundle("held")
    past = Bundle("past")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        url = f"sqlite:///{Path(self.folder.name) / 'test.db'}"
        upgrade(url)
        self.sessions = Sessions(create_engine(url))
        with self.sessions.begin() as session:
            factories.ready_dataset(session)
            self.experiment = factories.queued_experiment(session).id
        self.state = State.QUEUED
        self.states = self._read()

    def _read(self) -> dict[str, State]:
        with self.sessions.reading() as session:
            return {row.id: row.state for row in executions.of_experiment(session, self.experiment)}

    @rule(target=held, owner=st.sampled_from(["a", "b"]), capacity=st.integers(1, 3))
    def claim(self, owner: str, capacity: int) -> object:
        waiting = [id for id, state in self._read().items() if state is State.QUEUED]
        with self.sessions.begin() as session:
            granted = executions.claim(session, owner=owner, lease_seconds=60, capacity=capacity)
        assert granted is not None
        assert bool(granted) == bool(waiting)
        return multiple(*(lease for _, lease in granted))

    @rule(target=past, lease=consumes(held), outcome=st.sampled_from(["success", "failure", "release"]))
    def end(self, lease: Lease, outcome: str) -> Lease:
        with self.sessions.begin() as session:
            match outcome:
                case "success":
                    executions.record_success(session, lease, factories.outcome())
                case "failure":
                    executions.record_failure(session, lease, {"code": "x"})
                case _:
                    executions.release(session, lease)
        return lease

    @rule(target=past, lease=consumes(held))
    def lose(self, lease: Lease) -> Lease:
        with self.sessions.begin() as session:
            leases.renew(session, Execution, lease, lease_seconds=-1)
            reaped = executions.reap(session, max_losses=MAX_LOSSES, error={"code": "worker-lost"})
        assert [lease.id] == reaped.requeued + reaped.failed + reaped.cancelled
        return lease

    @rule(lease=held)
    def renew(self, lease: Lease) -> None:
        with self.sessions.begin() as session:
            go_on = executions.renew(session, lease, 60, epochs_done=1)
        assert go_on == (self.state is not State.CANCELLING)

    @rule(lease=past)
    def come_back_from_the_dead(self, lease: Lease) -> None:
        with pytest.raises(LeaseLost), self.sessions.begin() as session:
            executions.record_success(session, lease, factories.outcome())

    @rule()
    def cancel(self) -> None:
        if self.state in (State.SUCCEEDED, State.FAILED):
            with pytest.raises(Conflict), self.sessions.begin() as session:
                experiments.cancel(session, self.experiment)
        else:
            with self.sessions.begin() as session:
                experiments.cancel(session, self.experiment)

    @invariant()
    def every_move_is_legal_and_the_experiment_follows(self) -> None:
        now = self._read()
        for id, state in now.items():
            before = self.states[id]
            # A rule may claim and end, or lose and requeue, in one step: two moves at most lie between two looks.
            reachable = (
                {before} | EXECUTION_MOVES[before] | {n for m in EXECUTION_MOVES[before] for n in EXECUTION_MOVES[m]}
            )
            assert state in reachable
        with self.sessions.reading() as session:
            state = experiments.get(session, self.experiment).state
        one = EXPERIMENT_MOVES[self.state]
        assert state in {self.state} | one | {n for m in one for n in EXPERIMENT_MOVES[m]}
        assert state.terminal == (set(now.values()) <= TERMINAL)
        if state is State.SUCCEEDED:
            assert set(now.values()) == {State.SUCCEEDED}
        self.states, self.state = now, state

    def teardown(self) -> None:
        self.sessions.close()
        self.folder.cleanup()


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = hypothesis_settings(max_examples=50, stateful_step_count=25, deadline=None)
