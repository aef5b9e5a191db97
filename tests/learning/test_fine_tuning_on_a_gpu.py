"""Later layers of a backbone on a GPU. Beside test_on_a_gpu, which a machine without timm can run, too. Skipped without a GPU."""

import pytest
import torch

from noisegate.learning.memory import free_bytes, needed
from noisegate.learning.training import Together
from tests.learning import fine_tuning
from tests.learning.factories import run_all

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")


@pytest.mark.parametrize("training", [{}, {"head_epochs": 0}, {"patience": 1, "epochs": 8}])
def test_a_gpu_tunes_what_a_cpu_tunes(training: dict[str, object]) -> None:
    """The head alone and then all layers: what is recorded of the one is not replayed for the other."""
    cell = fine_tuning.cell(training)
    on_gpu = fine_tuning.trained(cell, device="cuda:0")
    on_cpu = fine_tuning.trained(cell)
    assert on_gpu.trained.device == "cuda:0"
    assert on_gpu.trained.losses == pytest.approx(on_cpu.trained.losses, rel=1e-2)
    assert on_gpu.trained.holdout_losses == pytest.approx(on_cpu.trained.holdout_losses, rel=1e-2)
    assert on_gpu.metrics.accuracy == pytest.approx(on_cpu.metrics.accuracy, abs=0.05)


def test_alone_or_beside_another() -> None:
    cell = fine_tuning.cell()
    together = run_all(cell, [7, 8], device="cuda:0", together=Together(2))
    alone = fine_tuning.trained(cell, 7, device="cuda:0")
    assert together[0].trained.losses == pytest.approx(alone.trained.losses, rel=1e-2)  # type: ignore[union-attr]


def test_memory_is_reckoned_with_room_to_spare() -> None:
    cell = fine_tuning.cell()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before, free = torch.cuda.memory_allocated(), free_bytes(torch.device("cuda:0"))
    fine_tuning.trained(cell, device="cuda:0")
    taken = torch.cuda.max_memory_reserved() - before
    reckoned = needed(
        network=cell.spec.trained_network,
        outputs=cell.outputs,
        image_size=fine_tuning.SIZE,
        images=80,
        spec=cell.training,
        precision="float32",
        engine="separate",
        activations=fine_tuning.spec().activations,
    )
    assert taken < reckoned.of(1) < free
