"""Images that share a run through a model get the answers they would get alone."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pytest

from noisegate.inference.classifier import Classifier
from noisegate.rejection.decision import DecisionOptions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.classify.batching import Answered, Batcher, Busy, most_together
from service.classify.models import Classified, Classifiers, Loaded
from service.errors import ModelUnusable
from tests.rejection.manifests import manifest
from tests.service.comparing import TOLERANCE, assert_same, expected_of
from tests.service.factories import IMAGE_SIZE, ready_dataset
from tests.service.graphs import fails_on_pixel, fails_on_white, seeing_onnx
from tests.service.traffic import (
    Pixels,
    encoded,
    measured,
    pictures,
    reference_of,
    stored_model,
)

T = TypeVar("T")
Told = Answered | BaseException


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def classifier_of(onnx: bytes) -> Classifier:
    return Classifier(onnx, manifest(image_size=IMAGE_SIZE, quantiles=[0.0, 0.5, 0.9]))


def of_which_one_takes(seconds: float) -> Classifier:
    """A small network, of which it is said that it takes so long for an image."""
    classifier = classifier_of(seeing_onnx(2))
    classifier.seconds_per_image = seconds
    return classifier


def in_loop(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives; whatever hangs fails."""

    async def bounded() -> T:
        return await asyncio.wait_for(work(), 60)

    return asyncio.run(bounded())


async def all_of(batcher: Batcher, images: list[Pixels], *, patient: bool = False) -> list[Told]:
    """What comes of images that arrive at once, in their order."""
    if patient:
        return [*await batcher.decide_all(images, DecisionOptions())]
    decided = (batcher.decide(image, DecisionOptions()) for image in images)
    return await asyncio.gather(*decided, return_exceptions=True)


def same_alone(classifier: Classifier, image: Pixels, found: Answered) -> None:
    assert_same(found.decision, expected_of(classifier, image, DecisionOptions()))


# Every answer against its image alone


@pytest.mark.parametrize("seed", range(2))
def test_random_traffic_gets_the_answers_of_each_image_alone(
    seed: int, settings: Settings, sessions: Sessions, artefacts: Artefacts
) -> None:
    """Three models, 100 images each in random order, one in eight given up on its way."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    alone: dict[str, Classifier] = {}
    for number in range(3):
        onnx = seeing_onnx(10 * seed + number)
        described = manifest(["cat", "dog"], image_size=IMAGE_SIZE)
        id, classifier = stored_model(sessions, artefacts, onnx, reference_of(onnx, described))
        alone[id] = classifier
    found = in_loop(lambda: _traffic(Classifiers(settings, sessions, artefacts), list(alone), seed))
    for model, image, options, classified in found:
        assert_same(classified.answered.decision, expected_of(alone[model], image, options), f"image of {model}")
    assert len(found) > 250
    assert max(classified.answered.batch_size for *_, classified in found) > 1
    assert measured("noisegate_classify_queue_depth") == 0


async def _traffic(
    classifiers: Classifiers, models: list[str], seed: int
) -> list[tuple[str, Pixels, DecisionOptions, Classified]]:
    """All that was not given up: the model, the image, what was asked, what was answered."""
    draw = random.Random(seed)
    loaded = {model: await classifiers.find(model) for model in models}
    images = pictures(50, seed)
    jobs = [(model, image) for model in models for image in images] * 2
    draw.shuffle(jobs)

    async def ask(model: Loaded, image: Pixels, options: DecisionOptions, turns: int) -> Classified:
        for _ in range(turns):
            await asyncio.sleep(0)
        (found,) = await classifiers.classify_all(model, [encoded(image)], options)
        if isinstance(found, Exception):
            raise found
        return found

    options = [DecisionOptions(draw.choice([0, 0.01, 0.05, 0.5, 1]), draw.choice([None, 1, 2, 5])) for _ in jobs]
    tasks = [
        asyncio.create_task(ask(loaded[model], image, one, draw.randrange(60)))
        for (model, image), one in zip(jobs, options, strict=True)
    ]
    for task in draw.sample(tasks, len(tasks) // 8):
        asyncio.get_running_loop().call_later(draw.uniform(0, 0.2), task.cancel)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    classifiers.close()
    assert {type(answer) for answer in answers} == {Classified, asyncio.CancelledError}
    return [
        (*job, one, answer)
        for job, one, answer in zip(jobs, options, answers, strict=True)
        if isinstance(answer, Classified)
    ]


def test_a_batch_of_any_size_gives_the_logits_of_each_image_alone() -> None:
    """n = 1 … 32; measured difference 0 (see TOLERANCE)."""
    classifier = classifier_of(seeing_onnx(1))
    images = np.stack(pictures(32, 1))
    alone = np.concatenate([classifier.logits(image[np.newaxis])[0] for image in images])
    spread = np.abs(alone[:, np.newaxis] - alone[np.newaxis]).max(axis=2)[~np.eye(32, dtype=bool)]
    assert spread.min() > 100 * TOLERANCE, "no two images have the same answer"
    worst = max(float(np.abs(classifier.logits(images[:n])[0] - alone[:n]).max()) for n in range(1, 33))
    assert worst <= TOLERANCE


def test_images_that_arrive_together_run_together_and_up_to_the_limit(threads: ThreadPoolExecutor) -> None:
    classifier = of_which_one_takes(1e-6)
    images = pictures(20, 2)
    batcher = Batcher(classifier, threads, most=8, most_waiting=100)
    found = [answer for answer in in_loop(lambda: all_of(batcher, images)) if isinstance(answer, Answered)]
    assert [answer.batch_size for answer in found] == [8] * 16 + [4] * 4
    for image, answer in zip(images, found, strict=True):
        same_alone(classifier, image, answer)


# Trouble


def test_numbers_that_are_not_finite_fail_their_own_image_only(threads: ThreadPoolExecutor) -> None:
    classifier = classifier_of(fails_on_white())
    images = pictures(9, 3)
    images[4] = np.full_like(images[4], 255)
    batcher = Batcher(classifier, threads, most=32, most_waiting=100)
    found = in_loop(lambda: all_of(batcher, images))
    assert isinstance(found[4], ModelUnusable)
    assert "not finite" in found[4].detail
    well = [place for place, answer in enumerate(found) if isinstance(answer, Answered)]
    assert well == [0, 1, 2, 3, 5, 6, 7, 8]
    for place in well:
        answer = found[place]
        assert isinstance(answer, Answered)
        assert answer.batch_size == 9
        same_alone(classifier, images[place], answer)


def test_a_batch_of_nothing_but_numbers_that_are_not_finite(threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(classifier_of(fails_on_white()), threads, most=32, most_waiting=100)
    white = [np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 255, np.uint8)] * 3
    found = in_loop(lambda: all_of(batcher, white))
    assert [type(answer) for answer in found] == [ModelUnusable] * 3


def test_a_graph_that_fails_tells_all_of_its_batch_and_goes_on_with_the_next(threads: ThreadPoolExecutor) -> None:
    images = pictures(6, 4)
    for image in images:
        image[0, 0, 0] = 3
    images[2][0, 0, 0] = 255
    batcher = Batcher(classifier_of(fails_on_pixel()), threads, most=4, most_waiting=100)

    async def ask() -> tuple[list[Told], list[Told]]:
        return await all_of(batcher, images), await all_of(batcher, images[:1])

    found, later = in_loop(ask)
    assert [type(answer) for answer in found] == [ModelUnusable] * 4 + [Answered] * 2
    assert [type(answer) for answer in later] == [Answered]
    assert measured("noisegate_classify_queue_depth") == 0


# Queues


def test_a_full_queue_refuses_and_says_when_it_will_have_drained(threads: ThreadPoolExecutor) -> None:
    classifier = classifier_of(seeing_onnx(5, channels=128, depth=20))
    batcher = Batcher(classifier, threads, most=8, most_waiting=64)
    (image,) = pictures(1, 5)

    async def ask() -> tuple[list[Told], float, list[Told]]:
        await all_of(batcher, [image] * 8)  # from here on it knows how long one takes
        started = time.perf_counter()
        found = await all_of(batcher, [image] * 80)
        return found, time.perf_counter() - started, await all_of(batcher, [image] * 64)

    found, seconds, later = in_loop(ask)
    assert [type(answer) for answer in found] == [Answered] * 64 + [Busy] * 16
    refused = [answer.retry_after_seconds for answer in found if isinstance(answer, Busy)]
    assert all(1 <= told <= 1 + 5 * seconds for told in refused), (refused, seconds)
    assert all(isinstance(answer, Answered) for answer in later), "the queue has drained"
    assert measured("noisegate_classify_queue_depth") == 0


def test_the_longer_a_queue_takes_the_later_it_tells_to_come_back(threads: ThreadPoolExecutor) -> None:
    """400 waiting images of 25 to 70 ms each."""
    batcher = Batcher(classifier_of(seeing_onnx(6, channels=128, depth=100)), threads, most=1, most_waiting=400)
    (image,) = pictures(1, 6)

    async def ask() -> tuple[float, list[Busy]]:
        (first,) = await all_of(batcher, [image])
        assert isinstance(first, Answered)
        tasks = [asyncio.create_task(batcher.decide(image, DecisionOptions())) for _ in range(405)]
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await all_of(batcher, [image], patient=True)  # whoever has gone is out of the queue by then
        refused = [task.exception() for task in done]
        return first.predict_seconds, [error for error in refused if isinstance(error, Busy)]

    seconds, refused = in_loop(ask)
    assert len(refused) == 5
    assert {error.retry_after_seconds for error in refused} == {math.ceil(400 * seconds)}
    assert 400 * seconds > 2, "more than the least that is ever told"


def test_patient_callers_are_never_refused(threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(classifier_of(seeing_onnx(7)), threads, most=4, most_waiting=1)
    images = pictures(60, 7)
    found = in_loop(lambda: all_of(batcher, images, patient=True))
    assert {type(answer) for answer in found} == {Answered}


def test_whole_batches_leave_room_for_single_images(threads: ThreadPoolExecutor) -> None:
    """Ten callers keep 20 patient images each under way; whoever sends one image at a time is never refused."""
    batcher = Batcher(classifier_of(seeing_onnx(3)), threads, most=4, most_waiting=16)
    images = pictures(20, 9)
    singles: list[Told] = []

    async def both() -> list[list[Told]]:
        batches = [asyncio.create_task(all_of(batcher, images, patient=True)) for _ in range(10)]
        while not all(batch.done() for batch in batches):
            singles.extend(await all_of(batcher, images[:1]))
        return await asyncio.gather(*batches)

    found = in_loop(both)
    assert all(isinstance(told, Answered) for batch in found for told in batch)
    assert len(singles) > 3
    assert all(isinstance(told, Answered) for told in singles)


def test_a_pool_that_is_closed_leaves_nobody_waiting(threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(of_which_one_takes(0.01), threads, most=4, most_waiting=16)
    threads.shutdown()
    (told,) = in_loop(lambda: all_of(batcher, pictures(1, 1)))
    assert isinstance(told, RuntimeError)


def test_what_takes_no_longer_than_handing_it_over_needs_no_thread(threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(of_which_one_takes(1e-4), threads, most=4, most_waiting=16)
    threads.shutdown()
    (told,) = in_loop(lambda: all_of(batcher, pictures(1, 1)))
    assert isinstance(told, Answered)


def test_between_two_batches_in_the_event_loop_others_have_their_turn(threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(of_which_one_takes(1e-4), threads, most=2, most_waiting=100)

    async def turns() -> tuple[int, list[Told]]:
        asked = asyncio.ensure_future(all_of(batcher, pictures(20, 4)))
        turns = 0
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        return turns, await asked

    had, told = in_loop(turns)
    assert [type(answer) for answer in told] == [Answered] * 20
    assert had >= 10


def test_who_has_gone_away_is_not_classified(threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(classifier_of(seeing_onnx(8)), threads, most=4, most_waiting=100)
    images = pictures(10, 8)
    before = measured("noisegate_classify_batch_size_sum")

    async def ask() -> list[Told]:
        tasks = [asyncio.create_task(batcher.decide(image, DecisionOptions())) for image in images]
        await asyncio.sleep(0)  # all of them wait, none runs yet
        for place in (1, 5, 6, 9):
            tasks[place].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = in_loop(ask)
    gone = [place for place, answer in enumerate(found) if isinstance(answer, asyncio.CancelledError)]
    assert gone == [1, 5, 6, 9]
    assert measured("noisegate_classify_batch_size_sum") - before == 6
    assert sorted(answer.batch_size for answer in found if isinstance(answer, Answered)) == [2, 2, 4, 4, 4, 4]
    assert measured("noisegate_classify_queue_depth") == 0


def test_one_who_goes_away_while_his_batch_runs_takes_nobody_along(threads: ThreadPoolExecutor) -> None:
    classifier = classifier_of(seeing_onnx(9, channels=128, depth=20))
    images = pictures(8, 9)

    async def ask() -> list[Told]:
        batcher = Batcher(classifier, threads, most=8, most_waiting=100)
        tasks = [asyncio.create_task(batcher.decide(image, DecisionOptions())) for image in images]
        await asyncio.sleep(0)
        assert measured("noisegate_classify_queue_depth") == 8
        while measured("noisegate_classify_queue_depth") != 0:
            await asyncio.sleep(0)
        assert not tasks[3].done()
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = in_loop(ask)
    assert isinstance(found[3], asyncio.CancelledError)
    for place in {*range(8)} - {3}:
        answer = found[place]
        assert isinstance(answer, Answered)
        same_alone(classifier, images[place], answer)


@pytest.mark.parametrize(
    ("image_size", "most", "together"),
    [(32, 32, 32), (79, 32, 32), (224, 32, 4), (224, 2, 2), (448, 32, 1), (4096, 32, 1)],
)
def test_a_batch_has_fewer_images_the_larger_they_are(image_size: int, most: int, together: int) -> None:
    assert most_together(image_size, most) == together
