"""What a training is reckoned to take, against what PyTorch really allocates for one."""

from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from noisegate.learning.batches import Batch
from noisegate.learning.engines import ENGINES, EngineName, build_engine
from noisegate.learning.memory import _LIBRARIES_BYTES, GIB, InsufficientMemory, Needed, needed
from noisegate.learning.recipe import Precision
from noisegate.learning.states import Beside, TrainingSet, fresh_state, make_training_set
from noisegate.networks.building import architecture
from noisegate.networks.preprocessing import Preprocessing
from noisegate.spec import PaperRecipe, TrainingSpec

from . import fine_tuning
from .factories import one_cycle

SPEC = PaperRecipe(batch_size=32)
IMAGES = 64


def reckoned(engine: EngineName, precision: Precision = "float32", images: int = IMAGES) -> Needed:
    return needed(
        network="paper", outputs=4, image_size=16, images=images, spec=SPEC, precision=precision, engine=engine
    )


def training_set(network: str = "paper", image_size: int = 16, spec: TrainingSpec = SPEC) -> TrainingSet:
    return TrainingSet(
        images=torch.zeros(IMAGES, image_size, image_size, 3, dtype=torch.uint8),
        labels=torch.zeros(IMAGES, dtype=torch.int64),
        preprocessing=Preprocessing(torch.zeros(image_size, image_size, 3)),
        network=network,
        outputs=4,
        spec=spec,
        precision="float32",
        known_images=IMAGES,
    )


def allocated(engine: EngineName, executions: int, data: TrainingSet | None = None) -> int:
    """Peak bytes of two steps of this many executions, by PyTorch's own account."""
    data = data or training_set()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        states = [fresh_state(data, seed) for seed in range(executions)]
        running = build_engine(engine, data, states)
        for _ in range(2):
            running.step(Batch.stacked([next(state.batches) for state in states]))
    held = most = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "separate"])
def test_a_step_takes_what_was_reckoned_for_it(engine: EngineName) -> None:
    """Of four executions minus that of one: what libraries hold once falls out."""
    each = (allocated(engine, 4) - allocated(engine, 1)) / 3
    assert 1.05 < reckoned(engine).each / each < 1.7


@pytest.mark.parametrize("changes", [None, {}, {"optimizer": "adamw", "ema_decay": 0.9, "cutout": 4}])
@pytest.mark.parametrize(("network", "image_size"), [("compact", 16), ("compact", 32), ("resnet18", 8)])
def test_other_networks_and_recipes_take_what_was_reckoned(
    network: str, image_size: int, changes: dict[str, Any] | None
) -> None:
    """Of one run by itself, with all that its optimizer and its average keep."""
    spec = SPEC if changes is None else one_cycle(batch_size=32, **changes)
    found = needed(
        network=network,
        outputs=4,
        image_size=image_size,
        images=IMAGES,
        spec=spec,
        precision="float32",
        engine="separate",
    )
    measured = allocated("separate", 1, training_set(network, image_size, spec))
    assert 1.05 < found.each / measured < 1.7


def test_a_moving_average_and_a_second_moment_are_counted() -> None:
    """Each is as large as the network; the estimate has half as much again to spare."""
    parameters = 4 * sum(one.numel() for one in architecture("resnet18", image_size=8, outputs=4).parameters())

    def each(**changes: Any) -> float:
        spec = one_cycle(batch_size=32, **changes)
        return needed(
            network="resnet18",
            outputs=4,
            image_size=8,
            images=IMAGES,
            spec=spec,
            precision="float32",
            engine="separate",
        ).each

    assert each(ema_decay=0.9) - each() == pytest.approx(1.5 * parameters, rel=0.1)
    assert each(optimizer="adamw") - each() > 1.4 * parameters


def test_bfloat16_takes_less() -> None:
    assert reckoned("grouped", "bfloat16").each < 0.75 * reckoned("grouped").each


def test_the_images_are_counted_once_and_their_order_for_each() -> None:
    few, many = reckoned("grouped", images=1_000), reckoned("grouped", images=101_000)
    assert many.shared - few.shared == 100_000 * (16 * 16 * 3 + 8)
    assert many.each - few.each == 2 * 100_000 * 8


def test_as_many_as_fit_and_no_more_than_wanted() -> None:
    each = Needed(shared=2 * GIB, each=GIB)
    assert [each.fitting(free, 50, "a GPU") for free in (3 * GIB, 8 * GIB, 8 * GIB - 1, 139 * GIB)] == [1, 6, 5, 50]


def test_what_does_not_fit_is_refused_with_the_number() -> None:
    with pytest.raises(
        InsufficientMemory, match=r"needs 3\.00 GiB of memory on a GPU, where 2\.50 GiB are free"
    ) as found:
        Needed(shared=2 * GIB, each=GIB).fitting(5 * GIB // 2, 50, "a GPU")
    assert found.value.remedy


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hundredfold_noise_fits_into_8_gib(engine: EngineName) -> None:
    """The largest cell of the paper: 50,000 images of CIFAR-10 and 500,000 of noise."""
    largest = needed(
        network="paper",
        outputs=11,
        image_size=32,
        images=550_000,
        spec=PaperRecipe(),
        precision="bfloat16",
        engine=engine,
    )
    assert largest.fitting(8 * GIB, 50, "a GPU") >= 20


@pytest.mark.parametrize("training", [{}, {"flip": False, "patience": 1}])
def test_later_layers_of_a_backbone_take_what_was_reckoned(training: dict[str, Any]) -> None:
    """On a CPU, with what is shared: activations, of mirrored images too where it flips; and weights of the best epoch."""
    cell = fine_tuning.cell(training)
    flipped = cell.flipped if cell.training.augmentation else None
    data = make_training_set(
        cell.inputs,
        cell.labels,
        cell.spec.trained_network,
        cell.outputs,
        cell.training,
        torch.device("cpu"),
        cell.known_images,
        Beside(flipped, fine_tuning.encoder().layers, (cell.holdout_inputs, cell.holdout_labels)),
    )
    each = (allocated("separate", 3, data) - allocated("separate", 1, data)) / 2
    found = needed(
        network=data.network,
        outputs=data.outputs,
        image_size=fine_tuning.SIZE,
        images=len(cell.inputs),
        spec=cell.training,
        precision="float32",
        engine="separate",
        activations=cell.spec.activations,
    )
    held = sum(one.nbytes for one in (data.images, data.flipped, data.labels) if one is not None)
    assert found.shared - _LIBRARIES_BYTES == held
    assert 1.0 < found.each / each < 4, "one that trains beside others shares nothing with them but the step's moment"
