"""Executions that take their steps together: each as if it were alone, whatever becomes of the others."""

import functools
import itertools
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from noisegate.learning import training
from noisegate.learning.batches import Batch
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.engines import ENGINES, Engine, EngineName, Stacked, build_engine
from noisegate.learning.prediction import predict, predict_each
from noisegate.learning.stacking import FORMS, Form
from noisegate.learning.states import TrainingSet, state_of
from noisegate.learning.training import Diverged, Progress, Together, Trained
from noisegate.networks.building import architecture
from noisegate.networks.preprocessing import Preprocessing, fitted
from noisegate.spec import LearningRateDrop, PaperRecipe, TrainingSpec
from noisegate.store.settings import Settings

from .factories import Counter, tinted_images, train_all, training_spec

SPEC = training_spec(epochs=4, learning_rate_drop=LearningRateDrop(factor=0.3, every_epochs=2))


def run(
    spec: TrainingSpec, *seeds: int, engine: EngineName, most: int = 50, **changes: Any
) -> list[Trained | Diverged]:
    images, labels = tinted_images(120, seed=1)
    together = Together(most, engine)
    return train_all(images, labels, spec=spec, seeds=seeds, together=together, **({"known_images": 60} | changes))


def weights_of(result: Trained | Diverged) -> Tensor:
    assert isinstance(result, Trained)
    return torch.cat([parameter.detach().flatten() for parameter in result.module.parameters()])


def losses_of(result: Trained | Diverged) -> tuple[float, ...]:
    assert isinstance(result, Trained)
    return result.losses


@functools.cache
def one_at_a_time(seed: int) -> Trained | Diverged:
    return run(SPEC, seed, engine="separate", most=1)[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_together_each_is_what_it_is_alone(engine: EngineName) -> None:
    """Float32 sums in another order; four epochs let such differences grow a little."""
    together = run(SPEC, 5, 6, 7, engine=engine)
    for result, seed in zip(together, (5, 6, 7), strict=True):
        alone = one_at_a_time(seed)
        assert losses_of(result) == pytest.approx(losses_of(alone), rel=1e-4)
        torch.testing.assert_close(weights_of(result), weights_of(alone), rtol=1e-3, atol=1e-4)
        assert isinstance(result, Trained)
        assert (result.seed, result.engine) == (seed, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("changes", [{"momentum": 0.0}, {"equal_updates": True}, {"precision": "bfloat16"}])
def test_the_recipe_is_the_same_with_every_engine(engine: EngineName, changes: dict[str, Any]) -> None:
    spec = training_spec(epochs=2, **changes)
    (alone,) = run(spec, 3, engine="separate", most=1)
    result, _ = run(spec, 3, 4, engine=engine)
    tolerance = 0.02 if changes.get("precision") else 1e-4
    assert losses_of(result) == pytest.approx(losses_of(alone), rel=tolerance)


@pytest.mark.parametrize("form", FORMS)
def test_companions_change_no_number(form: Form) -> None:
    """Within an engine the tolerance is that of a library that adds otherwise for other shapes; on this one often nothing."""
    among_five = run(SPEC, 5, 6, 7, 8, 9, engine=form)[2]
    among_two = run(SPEC, 4, 7, engine=form)[1]
    assert losses_of(among_five) == pytest.approx(losses_of(among_two), rel=1e-5)


def test_separate_networks_are_the_same_to_the_last_bit() -> None:
    together = run(SPEC, 5, 6, 7, engine="separate")
    assert [losses_of(one) for one in together] == [losses_of(one_at_a_time(seed)) for seed in (5, 6, 7)]
    assert all(torch.equal(weights_of(one), weights_of(one_at_a_time(one.seed))) for one in together)


class Poisoned(Engine):
    """An engine whose second network breaks in the second epoch."""

    def __init__(self, engine: Engine, states: list[TrainingState], update: int) -> None:
        self._engine, self._states, self._update = engine, states, itertools.count(1)
        self._breaks = update

    def set_learning_rate(self, rate: float) -> None:
        self._engine.set_learning_rate(rate)

    def step(self, batch: Batch) -> None:
        if next(self._update) == self._breaks:
            with torch.no_grad():
                next(self._states[1].module.parameters()).fill_(torch.nan)
        self._engine.step(batch)

    def take_losses(self) -> Tensor:
        return self._engine.take_losses()

    @property
    def logits(self) -> Tensor:
        return self._engine.logits


@pytest.mark.parametrize("engine", ENGINES)
def test_one_that_diverges_ends_alone_and_the_others_go_on(engine: EngineName, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    def poison(name: EngineName, data: TrainingSet, states: list[TrainingState]) -> Engine:
        built.append(len(states))
        whole = build_engine(name, data, states)
        return Poisoned(whole, states, update=10) if len(built) == 1 else whole

    monkeypatch.setattr(training, "build_engine", poison)
    epochs: list[Progress] = []
    first, broken, last = run(SPEC, 5, 6, 7, engine=engine, on_epoch=epochs.append)
    assert broken == Diverged(6, epoch=2)
    assert built == [3, 2]
    for result, seed in ((first, 5), (last, 7)):
        assert losses_of(result) == pytest.approx(losses_of(one_at_a_time(seed)), rel=1e-4)
    assert [(one.seed, one.epoch) for one in epochs] == [
        *((seed, 1) for seed in (5, 6, 7)),
        *((seed, epoch) for epoch in (2, 3, 4) for seed in (5, 7)),
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_trained_network_keeps_nothing_of_its_companions(engine: EngineName) -> None:
    for result in run(training_spec(epochs=1), 1, 2, 3, engine=engine):
        assert isinstance(result, Trained)
        for parameter in result.module.parameters():
            assert parameter.untyped_storage().nbytes() == 4 * parameter.numel()
            assert parameter.is_contiguous()


@pytest.mark.parametrize("form", FORMS)
def test_checkpoints_of_a_stack_are_those_of_its_executions(form: Form) -> None:
    """Two go on from epoch 2, one from the beginning: they end as the three that were never disturbed."""
    kept: dict[int, bytes] = {}

    def keep(progress: Progress, snapshot: Any) -> None:
        if progress.epoch == 2:
            kept[progress.seed] = snapshot()

    undisturbed = {one.seed: one for one in run(SPEC, 5, 6, 7, engine=form, on_checkpoint=keep)}
    resumed = run(SPEC, 5, 6, 7, engine=form, resume={seed: kept[seed] for seed in (5, 7)})
    assert [one.seed for one in resumed] == [6, 5, 7]
    for one in resumed:
        assert losses_of(one) == pytest.approx(losses_of(undisturbed[one.seed]), rel=1e-5)
    alone = run(SPEC, 7, engine="separate", most=1, resume=kept)[0]
    assert losses_of(alone)[:2] == losses_of(undisturbed[7])[:2]
    assert losses_of(alone) == pytest.approx(losses_of(one_at_a_time(7)), rel=1e-4)


@pytest.mark.parametrize(("most", "rounds"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (50, [5])])
def test_no_more_are_trained_at_once_than_asked_for(
    most: int, rounds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = watch_engines(monkeypatch, room=50)
    results = run(training_spec(epochs=1), *range(5), engine="grouped", most=most)
    assert [one.seed for one in results] == list(range(5))
    assert built == rounds


def test_where_memory_ends_fewer_are_trained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = watch_engines(monkeypatch, room=3)
    results = run(SPEC, *range(5, 12), engine="grouped")
    assert built == [7, 3, 3, 1]
    assert [losses_of(one) for one in results[:3]] == [
        pytest.approx(losses_of(one_at_a_time(seed)), rel=1e-4) for seed in (5, 6, 7)
    ]


def test_where_not_even_one_fits_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    watch_engines(monkeypatch, room=0)
    with pytest.raises(torch.OutOfMemoryError):
        run(SPEC, 1, 2, engine="grouped")


def watch_engines(monkeypatch: pytest.MonkeyPatch, room: int) -> list[int]:
    """How many executions each engine was built for; with more than there is room for, a GPU's memory ends."""
    built: list[int] = []

    def build(name: EngineName, data: TrainingSet, states: list[TrainingState]) -> Engine:
        built.append(len(states))
        if len(states) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return build_engine(name, data, states)

    monkeypatch.setattr(training, "build_engine", build)
    return built


def test_whatever_is_raised_between_batches_stops_all() -> None:
    counter = Counter(11)
    with pytest.raises(Exception, match=r"^$"):
        run(SPEC, 1, 2, 3, engine="grouped", between_batches=counter)
    assert counter.calls == 11


def test_stacked_and_single_runs_agree_in_accuracy() -> None:
    """Welch's test over five seeds of each: other seeds, so that nothing but chance can part them."""
    images, labels = tinted_images(300, seed=77)
    found = {}
    runs: dict[EngineName, range] = {"separate": range(5), "multiplied": range(5, 10)}
    for engine, seeds in runs.items():
        trained = run(training_spec(epochs=6, learning_rate=0.006), *seeds, engine=engine)
        modules = [one.module for one in trained if isinstance(one, Trained)]
        answers = predict_each(modules, fitted("mean_image", tinted_images(120, seed=1)[0]), images)
        found[engine] = [float((logits.argmax(axis=1) == labels).mean()) for logits, _ in answers]
    assert stats.ttest_ind(*found.values(), equal_var=False).pvalue > 0.01
    assert 0.4 < np.mean(found["separate"]) < 1


def test_many_answer_as_each_does_alone() -> None:
    modules = [
        one.module for one in run(training_spec(epochs=1), 1, 2, 3, engine="separate") if isinstance(one, Trained)
    ]
    images, _ = tinted_images(30, seed=9)
    shown = fitted("mean_image", images)
    for module, (logits, features) in zip(modules, predict_each(modules, shown, images, batch_pixels=700), strict=True):
        alone = predict(module, shown, images, batch_pixels=700)
        assert np.array_equal(logits, alone[0])
        assert np.array_equal(features, alone[1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_a_step_waits_for_no_number(form: Form, precision: Any) -> None:
    """On tensors without values: whoever asked for one, and so made a GPU wait for its host, would raise."""
    with torch.device("meta"):
        data = TrainingSet(
            images=torch.empty(500, 32, 32, 3, dtype=torch.uint8),
            labels=torch.empty(500, dtype=torch.int64),
            preprocessing=Preprocessing(torch.empty(32, 32, 3)),
            network="paper",
            outputs=11,
            spec=PaperRecipe(),
            precision=precision,
            known_images=500,
        )
        modules = [architecture(data.network, image_size=data.image_size, outputs=data.outputs) for _ in range(3)]
        engine = Stacked(data, [state_of(data, 0, module, torch.Generator("cpu")) for module in modules], form)
        engine.set_learning_rate(0.01)
        for _ in range(2):
            engine.step(Batch(torch.empty(3, 128, dtype=torch.int64), torch.empty(3, 128, 0, dtype=torch.int64)))
        assert engine.take_losses().device.type == "meta"


def test_the_settings_name_the_same_engines() -> None:
    assert set(get_args(Settings.model_fields["engine"].annotation)) == {"auto", *ENGINES}
