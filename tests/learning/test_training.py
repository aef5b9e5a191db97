import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from noisegate.learning.prediction import predict
from noisegate.learning.recipe import choose_precision
from noisegate.learning.training import (
    Diverged,
    Progress,
    Trained,
)
from noisegate.networks.preprocessing import fitted, mean_image
from noisegate.spec import LearningRateDrop, PaperRecipe, TrainingSpec

from .factories import Cancelled, Counter, fresh, ignore, nothing, tinted_images, train_all, training_spec


def run(
    spec: TrainingSpec,
    seeds: tuple[int, ...] = (1,),
    images: int = 160,
    known_images: int | None = None,
    counter: Counter | None = None,
    epochs: list[Progress] | None = None,
) -> list[Trained | Diverged]:
    data, labels = tinted_images(images, seed=1)
    return train_all(
        data,
        labels,
        network="paper",
        outputs=3,
        spec=spec,
        seeds=seeds,
        known_images=known_images or images,
        between_batches=counter or nothing,
        on_epoch=ignore if epochs is None else epochs.append,
    )


def run_one(spec: TrainingSpec, seed: int = 1, images: int = 160) -> Trained:
    (trained,) = run(spec, (seed,), images)
    assert isinstance(trained, Trained)
    return trained


def weights(trained: Trained | Diverged) -> bytes:
    assert isinstance(trained, Trained)
    return b"".join(tensor.numpy().tobytes() for tensor in trained.module.state_dict().values())


def test_it_learns() -> None:
    trained = run_one(training_spec(epochs=12), images=320)
    images, labels = tinted_images(200, seed=9)
    logits, _ = predict(trained.module, trained.preprocessing, images)
    assert (logits.argmax(axis=1) == labels).mean() > 0.95
    assert trained.losses[-1] < 0.5 * trained.losses[0]


def test_what_a_trained_network_carries() -> None:
    trained = run_one(training_spec(epochs=2), images=170)
    assert (trained.seed, trained.precision, trained.device, len(trained.losses)) == (1, "float32", "cpu", 2)
    assert trained.train_seconds > 0
    full_batches = 2 * 160  # of 170 images, 16 at a time
    assert trained.images_per_second == pytest.approx(full_batches / trained.train_seconds)
    assert not trained.module.training
    assert all(p.dtype == torch.float32 and p.is_contiguous() for p in trained.module.parameters())
    assert np.array_equal(trained.preprocessing.mean, mean_image(tinted_images(170, seed=1)[0]))


def test_a_seed_decides_every_byte() -> None:
    spec = training_spec(epochs=2)
    assert weights(run_one(spec)) == weights(run_one(spec))
    assert weights(run_one(spec)) != weights(run_one(spec, seed=2))


def test_seeds_trained_together_are_the_seeds_trained_apart() -> None:
    spec = training_spec(epochs=2)
    together = run(spec, seeds=(5, 6, 4))
    assert [weights(one) for one in together] == [weights(run_one(spec, seed)) for seed in (5, 6, 4)]


@pytest.mark.parametrize("writeable", [True, False])
def test_training_draws_nothing_from_the_global_generator_and_changes_no_argument(writeable: bool) -> None:
    before = torch.get_rng_state()
    images, labels = tinted_images(40, seed=1)
    kept_images, kept_labels = images.copy(), labels.copy()
    images.flags.writeable = writeable
    labels.flags.writeable = writeable
    train_all(
        images,
        labels,
        network="paper",
        outputs=4,
        spec=training_spec(epochs=1),
        seeds=[0],
        known_images=40,
        between_batches=nothing,
        on_epoch=ignore,
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(images, kept_images)
    assert np.array_equal(labels, kept_labels)


def test_updates_are_those_of_the_recipe_written_by_hand() -> None:
    """Whole-set batches, so the order of images cannot matter; a drop, heavy decay and momentum all show in 5 updates."""
    spec = training_spec(
        epochs=5,
        batch_size=500,
        learning_rate=0.002,
        learning_rate_drop=LearningRateDrop(factor=0.5, every_epochs=2),
        weight_decay=0.5,
        first_layer_std=0.1,
    )
    trained = run_one(spec, seed=4, images=48)
    expected = by_hand(spec, seed=4, images=48)
    for parameter, oracle in zip(trained.module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.double(), oracle, rtol=1e-4, atol=1e-7)


def by_hand(spec: PaperRecipe, seed: int, images: int) -> list[torch.Tensor]:
    data, labels = tinted_images(images, seed=1)
    module = initial_network(spec, seed).double()
    pixels = torch.from_numpy(np.moveaxis(data - data.mean(axis=0), 3, 1))
    parameters = list(module.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    for rate in (0.002, 0.002, 0.001, 0.001, 0.0005):
        log_probabilities = module(pixels)[0].log_softmax(dim=1)
        loss = -log_probabilities[torch.arange(images), torch.from_numpy(labels)].mean()
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                decay = spec.weight_decay * parameter if parameter.ndim > 1 else torch.zeros_like(parameter)
                velocity.mul_(spec.momentum).add_(gradient + decay)
                parameter.sub_(rate * velocity)
    return [parameter.detach() for parameter in parameters]


def initial_network(spec: PaperRecipe, seed: int) -> nn.Module:
    return fresh(seed=seed, first_layer_std=spec.first_layer_std)


def test_the_learning_rate_drops_after_every_so_many_epochs() -> None:
    spec = PaperRecipe()
    rates = [spec.rate_at(update, updates_per_epoch=3) for update in range(3 * 40)]
    assert rates == pytest.approx([0.001 * 0.1**step for step in range(5) for _ in range(3 * 8)])
    assert training_spec(learning_rate=0.2).rate_at(40, 1) == 0.2


def test_the_last_partial_batch_is_dropped_unless_it_is_the_only_one() -> None:
    spec = training_spec(batch_size=16)
    assert [spec.updates_per_epoch(images) for images in (1, 15, 16, 31, 32)] == [1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("images", "known", "equal_updates", "updates"),
    [(40, 40, False, 3 * 2), (40, 20, False, 3 * 2), (40, 20, True, 3 * 1), (100, 50, True, 3 * 3), (9, 9, False, 3)],
)
def test_number_of_updates(images: int, known: int, equal_updates: bool, updates: int) -> None:
    counter, epochs = Counter(), list[Progress]()
    spec = training_spec(epochs=3, batch_size=16, equal_updates=equal_updates)
    run(spec, images=images, known_images=known, counter=counter, epochs=epochs)
    assert counter.calls == updates
    assert [progress.epoch for progress in epochs] == [1, 2, 3]


def test_equal_updates_still_see_every_image() -> None:
    """An epoch of 3 updates ends inside a pass over 6 batches; the next must go on there, not begin again."""
    spec = training_spec(epochs=2, batch_size=16, equal_updates=True, learning_rate=1e-12, weight_decay=0.0)
    epochs: list[Progress] = []
    (result,) = run(spec, images=96, known_images=48, epochs=epochs)
    # With weights standing still, two epochs' losses average to that of the whole set only if each image came once.
    assert isinstance(result, Trained)
    images, labels = tinted_images(96, seed=1)
    logits, _ = predict(result.module, result.preprocessing, images)
    whole = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    assert sum(progress.loss for progress in epochs) / 2 == pytest.approx(whole, rel=1e-6)
    assert epochs[0].loss != pytest.approx(whole, rel=1e-6)


def test_each_epoch_has_an_order_of_its_own() -> None:
    spec = training_spec(epochs=3, batch_size=16, learning_rate=1e-12, weight_decay=0.0)
    trained = run_one(spec, images=24)  # 8 images of 24 are dropped each time: others, if the order is another
    assert len(set(trained.losses)) == 3


def test_progress() -> None:
    epochs: list[Progress] = []
    results = run(training_spec(epochs=2), seeds=(3, 4), epochs=epochs)
    assert [(p.seed, p.epoch, p.epochs) for p in epochs] == [(3, 1, 2), (3, 2, 2), (4, 1, 2), (4, 2, 2)]
    losses = itertools.chain.from_iterable(result.losses for result in results if isinstance(result, Trained))
    assert [progress.loss for progress in epochs] == list(losses)
    assert all(progress.images_per_second > 0 for progress in epochs)


@pytest.mark.parametrize("stop_at", [1, 11, 25])
def test_what_between_batches_raises_stops_training_at_once(stop_at: int) -> None:
    counter = Counter(stop_at)
    with pytest.raises(Cancelled):
        run(training_spec(), seeds=(1, 2), counter=counter)
    assert counter.calls == stop_at


def test_a_loss_that_is_no_number_ends_its_execution() -> None:
    epochs: list[Progress] = []
    results = run(training_spec(learning_rate=1e30), seeds=(7, 8), epochs=epochs)
    assert results == [Diverged(7, epoch=1), Diverged(8, epoch=1)]
    assert epochs == []


def test_bfloat16_trains_anywhere_and_returns_float32() -> None:
    trained = run_one(training_spec(precision="bfloat16", epochs=1), images=32)
    assert trained.precision == "bfloat16"
    assert all(parameter.dtype == torch.float32 for parameter in trained.module.parameters())
    assert weights(trained) != weights(run_one(training_spec(epochs=1), images=32))


def test_auto_follows_the_processor() -> None:
    processor = torch.cpu.get_capabilities()
    native = processor.get("avx512_bf16", False) or processor.get("amx_bf16", False)
    assert choose_precision("auto", torch.device("cpu")) == ("bfloat16" if native else "float32")
    assert choose_precision("bfloat16", torch.device("cpu")) == "bfloat16"
    assert choose_precision("float32", torch.device("cpu")) == "float32"


def test_predictions_do_not_depend_on_batches_and_leave_the_module_alone() -> None:
    module = initial_network(training_spec(), seed=1)
    original = copy.deepcopy(module.state_dict())
    images, _ = tinted_images(11, seed=3)
    shown = fitted("mean_image", images)
    logits, features = predict(module, shown, images, batch_pixels=4 * images.shape[1] ** 2)
    whole_logits, whole_features = predict(module, shown, images)
    assert logits.shape == (11, 3)
    assert features.shape == (11, 64)
    np.testing.assert_allclose(logits, whole_logits, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(features, whole_features, rtol=1e-4, atol=1e-7)
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in original.items())
