"""The keys that a service process knows, while the database is away, and when something unforeseen happens."""

import asyncio

import pytest
import sqlalchemy as sa

from noisegate.store import keys
from noisegate.store.keys import Key, Scope
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.access import KeyRing
from service.errors import Unauthenticated
from tests.conftest import PATIENCE


def made_up(number: int) -> str:
    return f"ng_{number:012x}_{'a' * 43}"


class Counting(KeyRing):
    """Counts how often the database was asked; the first time something unforeseen happens."""

    def __init__(self, settings: Settings, sessions: Sessions, *, surprise: bool = False) -> None:
        super().__init__(settings, sessions)
        self.looks = 0
        self._surprise = surprise

    def _open_keys(self) -> dict[str, Key]:
        self.looks += 1
        if self._surprise and self.looks == 1:
            raise ValueError("nobody thought of this")
        return super()._open_keys()


def test_made_up_keys_do_not_keep_the_database_busy_whether_it_answers_or_not(
    settings: Settings, sessions: Sessions
) -> None:
    patient = settings.model_copy(update={"key_refresh_seconds": 60})

    async def ask(kind: type[Exception]) -> int:
        ring = Counting(patient, sessions)
        for number in range(20):
            with pytest.raises(kind):
                await ring.caller(made_up(number))
        return ring.looks

    assert asyncio.run(ask(Unauthenticated)) == 1
    with sessions.begin() as session:
        session.execute(sa.text("ALTER TABLE api_keys RENAME TO elsewhere"))
    assert asyncio.run(ask(sa.exc.DBAPIError)) == 1


def test_keys_are_followed_after_something_unforeseen(settings: Settings, sessions: Sessions) -> None:
    quick = settings.model_copy(update={"key_refresh_seconds": 0.01})
    with sessions.begin() as session:
        token, row = keys.create(session, owner="ada", scopes=[Scope.READ])
        id = row.id

    async def follow() -> None:
        ring = Counting(quick, sessions, surprise=True)
        following = asyncio.create_task(ring.keep_fresh())
        async with asyncio.timeout(10 * PATIENCE):
            while ring.looks < 3:
                await asyncio.sleep(0.01)
            assert (await ring.caller(token)).owner == "ada"
            with sessions.begin() as session:
                keys.revoke(session, id)
            with pytest.raises(Unauthenticated):
                while True:
                    await ring.caller(token)
                    await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(follow())
