"""The cache of loaded models, without HTTP."""

import asyncio
from pathlib import Path

import pytest

from noisegate.errors import NotFound
from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.classify.models import Classifiers
from service.errors import ModelUnusable
from tests.service.factories import ready_dataset, served_model


@pytest.fixture
def pair(sessions: Sessions, artefacts: Artefacts) -> tuple[str, str]:
    """The ids of two models, of which the first is `default`."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    return served_model(sessions, artefacts), served_model(sessions, artefacts, logits=[5, 0])


def onnx_file(sessions: Sessions, artefacts: Artefacts, model: str) -> Path:
    with sessions.reading() as session:
        return artefacts.path(models.get(session, model).onnx_digest)


def test_many_requests_share_one_load(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    async def ask() -> None:
        classifiers = Classifiers(settings, sessions, artefacts)
        found = await asyncio.gather(*(classifiers.find(name) for name in ["default", pair[0]] * 10))
        assert len({id(loaded.classifier) for loaded in found}) == 1
        assert {loaded.id for loaded in found} == {pair[0]}

    asyncio.run(ask())


def test_the_least_used_model_is_given_up(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    async def ask() -> None:
        one = Classifiers(settings.model_copy(update={"model_cache": 1}), sessions, artefacts)
        first = (await one.find(pair[0])).classifier
        await one.find(pair[1])
        assert (await one.find(pair[0])).classifier is not first
        both = Classifiers(settings, sessions, artefacts)
        kept = (await both.find(pair[0])).classifier
        await both.find(pair[1])
        assert (await both.find(pair[0])).classifier is kept

    asyncio.run(ask())


def test_a_failed_load_is_told_to_all_who_wait_and_tried_again(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    file = onnx_file(sessions, artefacts, pair[0])
    whole = file.read_bytes()

    async def ask() -> None:
        classifiers = Classifiers(settings, sessions, artefacts)
        file.write_bytes(whole[:100])
        answers = await asyncio.gather(*(classifiers.find(pair[0]) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ModelUnusable] * 3
        file.unlink()
        with pytest.raises(ModelUnusable, match=rf"model {pair[0]} cannot be loaded: No such file") as caught:
            await classifiers.find(pair[0])
        assert str(artefacts.root) not in caught.value.detail
        file.write_bytes(whole)
        assert (await classifiers.find(pair[0])).id == pair[0]

    asyncio.run(ask())


def test_a_request_given_up_does_not_end_the_load_of_others(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    async def ask() -> None:
        classifiers = Classifiers(settings.model_copy(update={"alias_refresh_seconds": 3600}), sessions, artefacts)
        # What the id stands for is known from here on, so both tasks get to the load at their first turn.
        await classifiers._resolve(pair[0])
        given_up, other = (asyncio.create_task(classifiers.find(pair[0])) for _ in range(2))
        await asyncio.sleep(0)
        assert list(classifiers._loads) == [pair[0]]
        given_up.cancel()
        assert (await other).id == pair[0]
        with pytest.raises(asyncio.CancelledError):
            await given_up

    asyncio.run(ask())


def test_an_alias_is_looked_up_again_only_after_its_time(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    def move() -> None:
        with sessions.begin() as session:
            models.point_alias(session, "default", pair[1])

    async def ask() -> None:
        slow = Classifiers(settings.model_copy(update={"alias_refresh_seconds": 3600}), sessions, artefacts)
        quick = Classifiers(settings.model_copy(update={"alias_refresh_seconds": 0}), sessions, artefacts)
        assert (await slow.find("default")).id == (await quick.find("default")).id == pair[0]
        move()
        assert (await slow.find("default")).id == pair[0]
        assert (await quick.find("default")).id == pair[1]
        with pytest.raises(NotFound):
            await quick.find("nobody")

    asyncio.run(ask())
