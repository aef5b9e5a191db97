"""What only a GPU can show: graphs, streams, and that nothing waits. Skipped where there is none.

On a machine without the other test tools: `python -m pytest --noconftest -c /dev/null tests/learning/test_on_a_gpu.py`.
"""

from typing import Any

import pytest
import torch

from noisegate.learning.batches import Batch
from noisegate.learning.choosing import choose_engine, try_engines
from noisegate.learning.engines import ENGINES, EngineName, Recorded, Separate, Stacked, build_engine
from noisegate.learning.memory import free_bytes, needed
from noisegate.learning.prediction import predict
from noisegate.learning.recipe import exact_arithmetic
from noisegate.learning.states import TrainingSet, fresh_state
from noisegate.learning.training import Diverged, Together, Trained
from noisegate.spec import LearningRateDrop, TrainingSpec

from .factories import tinted_images, train_all, training_set, training_spec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")

# So slow that every epoch counts, and a rate that a recorded step did not follow would show.
SPEC = training_spec(epochs=6, learning_rate=3e-4, learning_rate_drop=LearningRateDrop(factor=0.1, every_epochs=2))


def run(*seeds: int, device: str, engine: EngineName, spec: TrainingSpec = SPEC, **changes: Any) -> list[Any]:
    images, labels = tinted_images(400, seed=1, image_size=16)
    return train_all(images, labels, spec=spec, seeds=seeds, device=device, together=Together(50, engine), **changes)


def on_the_gpu(spec: TrainingSpec = SPEC) -> TrainingSet:
    return training_set(*tinted_images(400, seed=1, image_size=16), spec, device="cuda:0")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gpu_trains_what_a_cpu_trains(engine: EngineName) -> None:
    """Six epochs, three of its learning rates: one recorded graph goes by all of them."""
    on_gpu = run(5, 6, 7, device="cuda:0", engine=engine)
    on_cpu = run(5, 6, 7, device="cpu", engine="separate")
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert (one.device, one.engine) == ("cuda:0", engine)
        assert one.losses == pytest.approx(other.losses, rel=1e-3)
        for parameter, expected in zip(one.module.parameters(), other.module.parameters(), strict=True):
            assert parameter.device.type == "cpu"
            assert parameter.grad is None
            moved = (parameter - expected).norm() / expected.norm().clamp_min(1e-3)
            assert moved.item() < 1e-2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_recorded_step_is_the_step(engine: EngineName) -> None:
    data = on_the_gpu()
    losses = []
    for recorded in (False, True):
        states = [fresh_state(data, seed) for seed in range(3)]
        built = build_engine(engine, data, states)
        assert isinstance(built, Recorded)
        plain = Separate(data, states) if engine == "separate" else Stacked(data, states, engine)
        running = built if recorded else plain
        with exact_arithmetic():
            for rate in (0.003, 0.001):
                running.set_learning_rate(rate)
                for _ in range(8):
                    running.step(Batch.stacked([next(state.batches) for state in states]))
        assert isinstance(running, Recorded) == recorded
        assert not isinstance(running, Recorded) or running._graph is not None
        losses.append(running.take_losses().tolist())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_host_waits_for_nothing_within_an_epoch(engine: EngineName) -> None:
    data = on_the_gpu()
    states = [fresh_state(data, seed) for seed in range(3)]
    running = build_engine(engine, data, states)
    running.set_learning_rate(0.003)
    for _ in range(6):  # loading libraries and recording wait
        running.step(Batch.stacked([next(state.batches) for state in states]))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(40):  # over the end of a pass, whose next order comes without waiting, too
            running.step(Batch.stacked([next(state.batches) for state in states]))
        losses = running.take_losses()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert losses.isfinite().all()
    assert isinstance(running, Recorded)
    assert running._graph is not None


@pytest.mark.parametrize("engine", ENGINES)
def test_alone_or_among_many(engine: EngineName) -> None:
    (alone,) = run(7, device="cuda:0", engine=engine)
    among = run(*range(20), device="cuda:0", engine=engine)[7]
    assert alone.losses == pytest.approx(among.losses, rel=5e-3, abs=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_bfloat16_learns(engine: EngineName) -> None:
    results = run(*range(10), device="cuda:0", engine=engine, spec=training_spec(epochs=12, precision="bfloat16"))
    images, labels = tinted_images(300, seed=9, image_size=16)
    for one in results:
        assert isinstance(one, Trained)
        logits, _ = predict(one.module, one.preprocessing, images, "cuda:0")
        assert (logits.argmax(axis=1) == labels).mean() > 0.9


@pytest.mark.parametrize("engine", ENGINES)
def test_all_that_diverge_end_and_say_when(engine: EngineName) -> None:
    wild = training_spec(learning_rate=1e30)
    assert run(1, 2, device="cuda:0", engine=engine, spec=wild) == [Diverged(1, 1), Diverged(2, 1)]


def test_every_engine_can_be_used_and_the_fastest_is_chosen() -> None:
    data = on_the_gpu()
    seconds = try_engines(data, 10)
    assert set(seconds) == set(ENGINES)
    assert choose_engine(data, 10) in ENGINES


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_is_reckoned_with_room_to_spare(engine: EngineName) -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before, free = torch.cuda.memory_allocated(), free_bytes(torch.device("cuda:0"))
    run(*range(20), device="cuda:0", engine=engine, spec=training_spec(epochs=1))
    taken = torch.cuda.max_memory_reserved() - before
    reckoned = needed(
        network="paper", outputs=3, image_size=16, images=400, spec=SPEC, precision="float32", engine=engine
    )
    assert taken < reckoned.of(20) < free
