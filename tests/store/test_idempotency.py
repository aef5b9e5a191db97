from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from noisegate.store import idempotency
from noisegate.store.clock import seconds_now
from noisegate.store.idempotency import InFlight, Keyed, KeyReused, Reservation, StoredAnswer
from noisegate.store.sessions import Sessions
from noisegate.store.tables import IdempotencyKey
from tests.factories import digest

REQUEST = Keyed("POST /experiments", "k", digest(1))
OTHER = Keyed("POST /experiments", "k", digest(2))
ANSWER = StoredAnswer(202, {"Location": "/experiments/exp_1"}, '{"id":"exp_1"}')


def reserve(
    sessions: Sessions, request: Keyed = REQUEST, *, lease_seconds: float = 30, keep_seconds: float = 3600
) -> Reservation | StoredAnswer:
    with sessions.begin() as session:
        return idempotency.reserve(session, request, lease_seconds=lease_seconds, keep_seconds=keep_seconds)


def reserved(sessions: Sessions, request: Keyed = REQUEST, **seconds: float) -> Reservation:
    found = reserve(sessions, request, **seconds)
    assert isinstance(found, Reservation)
    return found


def answer(sessions: Sessions, reservation: Reservation) -> None:
    with sessions.begin() as session:
        idempotency.answer(session, reservation, ANSWER)


def test_the_first_answer_comes_again(sessions: Sessions) -> None:
    answer(sessions, reserved(sessions))
    assert reserve(sessions) == reserve(sessions) == ANSWER


def test_a_key_belongs_to_one_request_and_one_scope(sessions: Sessions) -> None:
    answer(sessions, reserved(sessions))
    with pytest.raises(KeyReused):
        reserve(sessions, OTHER)
    assert isinstance(reserve(sessions, Keyed("POST /datasets", "k", digest(2))), Reservation)


def test_a_request_that_is_carried_out_is_in_flight(sessions: Sessions) -> None:
    reserved(sessions)
    with pytest.raises(InFlight) as caught:
        reserve(sessions)
    assert caught.value.retry_after_seconds > 0
    with pytest.raises(KeyReused):
        reserve(sessions, OTHER)


def test_a_released_key_is_free_for_another_request(sessions: Sessions) -> None:
    reservation = reserved(sessions)
    with sessions.begin() as session:
        idempotency.release(session, reservation)
    answer(sessions, reserved(sessions, OTHER))
    assert reserve(sessions, OTHER) == ANSWER


def test_an_answer_is_not_released(sessions: Sessions) -> None:
    reservation = reserved(sessions)
    answer(sessions, reservation)
    with sessions.begin() as session:
        idempotency.release(session, reservation)
    assert reserve(sessions) == ANSWER


def test_a_lost_reservation_is_taken_over_and_its_holder_comes_too_late(sessions: Sessions) -> None:
    lost = reserved(sessions, lease_seconds=-1)
    taken = reserved(sessions)
    assert taken.holder != lost.holder
    with pytest.raises(InFlight):
        answer(sessions, lost)
    with sessions.begin() as session:
        idempotency.release(session, lost)
    answer(sessions, taken)
    assert reserve(sessions) == ANSWER


def test_keys_are_forgotten(sessions: Sessions) -> None:
    answer(sessions, reserved(sessions, keep_seconds=-1))
    answer(sessions, reserved(sessions, Keyed("POST /experiments", "other", digest(1))))
    assert isinstance(reserve(sessions, OTHER, keep_seconds=-1), Reservation), "its time is over, so it is free"
    with sessions.begin() as session:
        idempotency.forget(session)
        assert session.scalars(sa.select(IdempotencyKey.key)).all() == ["other"]
        session.execute(sa.update(IdempotencyKey).values(expires=seconds_now() - 1))
        idempotency.forget(session)
        assert session.scalars(sa.select(IdempotencyKey.key)).all() == []


def test_of_many_that_come_together_one_gets_it(sessions: Sessions) -> None:
    def attempt(_number: int) -> bool:
        try:
            return isinstance(reserve(sessions), Reservation)
        except InFlight:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(32))) == 1
