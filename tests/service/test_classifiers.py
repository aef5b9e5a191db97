"""The cache of loaded models, without HTTP."""

import asyncio
import time
from pathlib import Path

import pytest

from noisegate.errors import NotFound
from noisegate.store import deletion, models
from noisegate.store.artefacts import Artefacts
from noisegate.store.models import Named
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.classify.loading import LoadedModel, Loader
from service.classify.models import Classifiers
from service.errors import ModelUnusable
from tests.conftest import PATIENCE
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
        classifiers = Classifiers(settings, sessions, artefacts)
        given_up, other = (asyncio.create_task(classifiers.find(pair[0])) for _ in range(2))
        while not classifiers._loads:
            await asyncio.sleep(0)
        given_up.cancel()
        assert (await other).id == pair[0]
        with pytest.raises(asyncio.CancelledError):
            await given_up

    asyncio.run(ask())


def point_default(sessions: Sessions, model: str) -> None:
    with sessions.begin() as session:
        models.point_alias(session, "default", model)


def test_a_moved_name_means_the_new_model_after_the_next_refresh(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    async def ask() -> None:
        classifiers = Classifiers(settings, sessions, artefacts)
        assert (await classifiers.find("default")).id == pair[0]
        point_default(sessions, pair[1])
        # Nobody asks the database for a name that is known.
        assert (await classifiers.find("default")).id == pair[0]
        await classifiers.refresh()
        assert list(classifiers._held()) == [pair[1]], (
            "the new model is loaded before it is asked for, the old one gone"
        )
        assert (await classifiers.find("default")).id == pair[1]
        with pytest.raises(NotFound):
            await classifiers.find("nobody")

    asyncio.run(ask())


def test_a_name_that_moved_to_a_damaged_model_goes_on_meaning_the_old_one(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    damaged = onnx_file(sessions, artefacts, pair[1])
    whole = damaged.read_bytes()

    async def ask() -> None:
        classifiers = Classifiers(settings, sessions, artefacts)
        await classifiers.find("default")
        damaged.write_bytes(whole[:100])
        point_default(sessions, pair[1])
        await classifiers.refresh()
        assert (await classifiers.find("default")).id == pair[0]
        assert f"model {pair[1]} cannot be loaded" in (classifiers.trouble_with("default") or "")
        damaged.write_bytes(whole)
        await classifiers.refresh()
        assert (await classifiers.find("default")).id == pair[0], "it is left alone for a while"
        asked_again = Classifiers(settings.model_copy(update={"model_retry_seconds": 0}), sessions, artefacts)
        asked_again._names, asked_again._failed = (
            {"default": Named(pair[0], frozenset({""}))},
            {pair[1]: time.monotonic()},
        )
        await asked_again.find(pair[0])
        await asked_again.refresh()
        assert (await asked_again.find("default")).id == pair[1]
        assert asked_again.trouble_with("default") is None

    asyncio.run(ask())


def test_an_unforeseen_error_does_not_end_the_following_of_names(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default model cannot be loaded for want of memory; later it can, and then its name moves."""
    quick = settings.model_copy(update={"alias_refresh_seconds": 0.01})
    load = Loader.load
    failures = [MemoryError()]

    def short_of_memory(self: Loader, id: str, most_bytes: int) -> LoadedModel:
        if failures:
            raise failures.pop()
        return load(self, id, most_bytes)

    monkeypatch.setattr(Loader, "load", short_of_memory)

    async def ask() -> None:
        classifiers = Classifiers(quick, sessions, artefacts)
        following = asyncio.create_task(classifiers.keep_fresh())
        async with asyncio.timeout(10 * PATIENCE):
            while failures:
                await asyncio.sleep(0.01)
        assert (await classifiers.find("default")).id == pair[0]
        point_default(sessions, pair[1])
        async with asyncio.timeout(10 * PATIENCE):
            while (await classifiers.find("default")).id != pair[1]:
                await asyncio.sleep(0.01)
        assert not following.done()
        following.cancel()

    asyncio.run(ask())


def test_a_model_over_the_limit_is_refused_before_it_is_loaded(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    onnx_file(sessions, artefacts, pair[0]).write_bytes(b"nothing that loads" * 1_000)

    async def ask() -> None:
        tight = Classifiers(settings.model_copy(update={"model_cache_bytes": 10_000}), sessions, artefacts)
        with pytest.raises(ModelUnusable, match=r"takes [\d,]+ bytes; all models of a process may take 10,000"):
            await tight.find(pair[0])

    asyncio.run(ask())


def test_a_deleted_model_and_a_name_taken_away_are_forgotten(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, pair: tuple[str, str]
) -> None:
    async def ask() -> None:
        classifiers = Classifiers(settings, sessions, artefacts)
        await classifiers.find("default")
        await classifiers.find(pair[1])
        with sessions.begin() as session:
            models.delete_alias(session, "default")
            deletion.delete_model(session, pair[1])
        await classifiers.refresh()
        assert classifiers._held() == {}
        for reference in ("default", pair[1]):
            with pytest.raises(NotFound):
                await classifiers.find(reference)
        assert (await classifiers.find(pair[0])).id == pair[0]

    asyncio.run(ask())
