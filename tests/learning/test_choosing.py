"""Engines are tried on the device itself; the trial is that of training, and harms nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor

from noisegate.learning import choosing
from noisegate.learning.choosing import choose_engine, try_engines
from noisegate.learning.engines import ENGINES
from noisegate.learning.stacking import FORMS
from noisegate.learning.states import TrainingSet
from noisegate.spec import TrainingSpec

from .factories import tinted_images, training_set, training_spec


def on_the_cpu(spec: TrainingSpec | None = None, images: int = 40) -> TrainingSet:
    return training_set(*tinted_images(images, seed=1), spec or training_spec())


def test_a_cpu_is_not_tried_out() -> None:
    assert choose_engine(on_the_cpu(), 50) == "separate"


def test_every_engine_is_tried_and_one_that_cannot_run_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data = on_the_cpu()
    assert set(try_engines(data, 2)) == set(ENGINES)

    def no_kernel(*_: Any) -> Tensor:
        raise RuntimeError("no engine found to execute this\nand where")

    monkeypatch.setitem(FORMS, "grouped", no_kernel)
    seconds = try_engines(data, 2)
    assert set(seconds) == set(ENGINES) - {"grouped"}
    assert all(0 < one < 10 for one in seconds.values())


def test_a_broken_device_is_not_taken_for_a_missing_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever error comes first, the device is asked whether it still answers."""

    def broken(*_: Any) -> Tensor:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "default_stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    with pytest.raises(torch.AcceleratorError, match="illegal"):
        choosing._tidy(torch.device("cuda"))


def test_the_arithmetic_of_the_trial_is_that_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another one, another engine might be the fastest, or one be chosen that training could not use."""
    flags: list[tuple[bool, bool]] = []

    def note(*_: Any) -> tuple[Tensor, float]:
        flags.append((torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32))
        return torch.ones(2), 1.0

    monkeypatch.setattr(choosing, "_try", note)
    assert torch.backends.cudnn.allow_tf32
    try_engines(on_the_cpu(), 2)
    assert flags == [(True, False)] * len(ENGINES)
