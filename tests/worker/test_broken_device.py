"""A process whose CUDA context is broken says so in the rows that it holds, and ends: no call of CUDA would succeed again."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
import torch

from noisegate.learning.export import export_model
from noisegate.store import executions, expiry
from noisegate.store.states import State
from noisegate.store.tables import Execution
from noisegate.store.wakeups import TRAIN
from tests import factories
from worker.resources import Resources
from worker.training import train_oldest

BROKEN = "CUDA error: an illegal memory access was encountered"


class Ended(BaseException):
    """Where the process would have ended."""


@pytest.fixture(autouse=True)
def _end_by_raising(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr("worker.training.os._exit", end)


def _post(resources: Resources, count: int) -> tuple[Resources, str]:
    """An experiment of so many executions, and resources of a worker that claims three of them at once."""
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
        id = factories.queued_experiment(session, factories.shades_spec(executions=count, keep_models="all")).id
    settings = resources.settings.model_copy(update={"claim_capacity": 3})
    return Resources(settings, resources.sessions, resources.artefacts, resources.wakeups, worker="test"), id


def _rows(resources: Resources, id: str) -> list[Execution]:
    with resources.sessions.reading() as session:
        return list(executions.of_experiment(session, id))


def _break(*_: Any, **__: Any) -> Any:
    raise torch.AcceleratorError(BROKEN)


def _said(row: Execution) -> str:
    return str(row.error and row.error.detail)


def test_all_that_the_process_held_says_why_it_ended(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    resources, id = _post(resources, 4)
    monkeypatch.setattr("worker.kinds.classifiers.run_executions", _break)
    with pytest.raises(Ended) as ended:
        train_oldest(resources)
    assert ended.value.args == (os.EX_SOFTWARE,)
    rows = _rows(resources, id)
    assert [row.state for row in rows] == [State.RUNNING] * 3 + [State.QUEUED]
    assert all(_said(row).startswith(f"AcceleratorError: {BROKEN}") for row in rows[:3])
    assert rows[3].error is None
    assert resources.wakeups.waiting(TRAIN) == 1, "for what still waits"
    with resources.sessions.begin() as session:
        expiry.expire(session, {resources.owner}, lambda _: factories.failure(detail="ended with exit code 70"))
        expiry.reap(session, lease_seconds=60, max_losses=1, error=factories.failure())
    rows = _rows(resources, id)
    assert [row.state for row in rows] == [State.FAILED] * 3 + [State.QUEUED]
    assert all(_said(row).startswith(f"AcceleratorError: {BROKEN}") for row in rows[:3])


def test_a_context_that_breaks_between_two_results_leaves_the_first_as_it_is(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources, id = _post(resources, 3)
    exported: list[int] = []

    def break_at_the_second(*arguments: Any, **named: Any) -> Any:
        exported.append(1)
        return export_model(*arguments, **named) if len(exported) == 1 else _break()

    monkeypatch.setattr("worker.kinds.classifiers.export_model", break_at_the_second)
    with pytest.raises(Ended):
        train_oldest(resources)
    assert len(exported) == 2, "the third is not tried"
    rows = sorted(_rows(resources, id), key=lambda row: row.state is State.RUNNING)
    assert [row.state for row in rows] == [State.SUCCEEDED, State.RUNNING, State.RUNNING]
    assert (rows[0].error, rows[0].metrics is not None) == (None, True)
    assert all(_said(row).startswith(f"AcceleratorError: {BROKEN}") for row in rows[1:])


def test_the_process_ends_even_if_its_trouble_cannot_be_noted(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources, id = _post(resources, 1)

    def away(*_: Any, **__: Any) -> Any:
        raise sa.exc.OperationalError("UPDATE", {}, Exception("the database is restarting"))

    monkeypatch.setattr("worker.kinds.classifiers.run_executions", _break)
    monkeypatch.setattr("worker.training.executions.note_failure", away)
    with pytest.raises(Ended):
        train_oldest(resources)
    (row,) = _rows(resources, id)
    assert (row.state, row.error) == (State.RUNNING, None)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        # A graph that could not be recorded comes as one; the device still answers.
        (torch.AcceleratorError(BROKEN), State.RUNNING),
        # What cuDNN and cuBLAS lack or run out of comes as a bare RuntimeError: it must not fail fifty executions for good.
        (RuntimeError("CUDNN_STATUS_NOT_SUPPORTED"), State.RUNNING),
        (ValueError("shapes do not match"), State.FAILED),
    ],
)
def test_where_the_device_still_answers_the_process_lives_on(
    resources: Resources, monkeypatch: pytest.MonkeyPatch, error: Exception, state: State
) -> None:
    resources, id = _post(resources, 3)
    _use_a_gpu(monkeypatch, error, synchronize=lambda: None)
    train_oldest(resources)
    rows = _rows(resources, id)
    assert [row.state for row in rows] == [state] * 3
    assert all(str(error) in _said(row) for row in rows)


def test_a_library_may_be_the_first_to_meet_it(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    """cuBLAS raises a RuntimeError of its own; what a broken context is asked next tells what it was."""
    resources, id = _post(resources, 3)
    _use_a_gpu(monkeypatch, RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"), synchronize=_break)
    with pytest.raises(Ended):
        train_oldest(resources)
    assert [row.state for row in _rows(resources, id)] == [State.RUNNING] * 3


def _use_a_gpu(monkeypatch: pytest.MonkeyPatch, error: Exception, synchronize: Callable[[], Any]) -> None:
    """Training raises the error, on a GPU that is asked by `synchronize` whether it still answers."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("worker.kinds.classifiers.run_executions", fail)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
