"""The state machine's own laws."""

from hypothesis import given
from hypothesis import strategies as st

from noisegate.store.states import EXECUTION_MOVES, EXPERIMENT_MOVES, TERMINAL, State, settled_state

PRESENT = st.sets(st.sampled_from([state for state in State if state is not State.CANCELLING]), min_size=1)


def test_terminal_states_lead_nowhere_and_all_others_somewhere() -> None:
    for moves in (EXPERIMENT_MOVES, EXECUTION_MOVES):
        for state, targets in moves.items():
            assert bool(targets) != (state in TERMINAL)


@given(current=st.sampled_from(State), present=PRESENT)
def test_settling_makes_legal_moves_only(current: State, present: set[State]) -> None:
    if State.CANCELLED in present and current in (State.QUEUED, State.RUNNING):
        return  # executions are cancelled only once their experiment is cancelling
    target = settled_state(current, present)
    if current is State.QUEUED and target.terminal:
        return  # an experiment whose executions have all ended has been running, or cancelling
    assert target is current or target in EXPERIMENT_MOVES[current]
    if not current.terminal:
        assert target.terminal == (present <= TERMINAL)


@given(present=PRESENT)
def test_success_needs_every_execution_to_succeed(present: set[State]) -> None:
    assert (settled_state(State.RUNNING, present) is State.SUCCEEDED) == (present == {State.SUCCEEDED})
