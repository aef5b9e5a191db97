"""A training goes on from its last checkpoint, with the very numbers of one that was never disturbed; no file is left over."""

from typing import Any

import pytest

from noisegate.store import executions, experiments, expiry, leases
from noisegate.store.states import State
from noisegate.store.tables import Execution
from tests import factories
from tests.worker.conftest import on_both_databases
from worker.checkpoints import Checkpoints
from worker.resources import Resources
from worker.training import train_oldest

EPOCHS = 12


class KilledHere(BaseException):
    """Stands for SIGKILL: nothing of the product catches it, so nothing is written after it."""


@pytest.fixture
def resources(resources: Resources) -> Resources:
    """A checkpoint after every epoch."""
    settings = resources.settings.model_copy(update={"checkpoint_seconds": 1e-9})
    return Resources(settings, resources.sessions, resources.artefacts, resources.wakeups, resources.worker)


def _post(resources: Resources) -> str:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
        return factories.queued_experiment(session, factories.shades_spec(training={"epochs": EPOCHS})).id


def _row(resources: Resources, id: str) -> Execution:
    with resources.sessions.reading() as session:
        (row,) = executions.of_experiment(session, id)
    return row


def _killed_after(resources: Resources, monkeypatch: pytest.MonkeyPatch, epoch: int) -> list[int]:
    """Train until so many epochs are written down; answers the epochs that were trained."""
    trained: list[int] = []
    offer = Checkpoints.offer

    def offer_then_die(self: Checkpoints, progress: Any, snapshot: Any) -> None:
        trained.append(progress.epoch)
        offer(self, progress, snapshot)
        if progress.epoch == epoch:
            raise KilledHere

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "offer", offer_then_die)
        try:
            train_oldest(resources)
        except KilledHere:
            return trained
    return [*trained, EPOCHS]


def _lose(resources: Resources, id: str) -> None:
    row = _row(resources, id)
    with resources.sessions.begin() as session:
        lease = leases.Lease(row.id, row.owner or "", row.attempt)
        leases.renew(session, Execution, lease, lease_seconds=-1)
        expiry.reap(session, lease_seconds=20, max_losses=9, error=factories.failure())


def _files(resources: Resources) -> set[str]:
    return {path.name for path in (resources.artefacts.root / "sha256").rglob("*") if path.is_file()}


@on_both_databases
def test_it_goes_on_where_it_was_and_gives_the_same(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    id = _post(resources)
    before = _files(resources)
    assert _killed_after(resources, monkeypatch, 3) == [1, 2, 3]
    row = _row(resources, id)
    assert (row.state, row.checkpoint_epochs) == (State.RUNNING, 3)
    assert _files(resources) == before | {row.checkpoint_digest}, "one file, the last"
    _lose(resources, id)
    assert _row(resources, id).epochs_done == 3
    assert _killed_after(resources, monkeypatch, 8) == [4, 5, 6, 7, 8]
    _lose(resources, id)
    assert _killed_after(resources, monkeypatch, -1) == [9, 10, 11, EPOCHS]
    resumed = _row(resources, id)
    assert (resumed.state, resumed.attempt, resumed.checkpoint_digest) == (State.SUCCEEDED, 3, None)
    kept = _files(resources)

    with resources.sessions.begin() as session:
        calm = factories.queued_experiment(session, factories.shades_spec(training={"epochs": EPOCHS})).id
    assert _killed_after(resources, monkeypatch, -1) == list(range(1, EPOCHS + 1))
    undisturbed = _row(resources, calm)
    assert undisturbed.losses_by_epoch == resumed.losses_by_epoch
    assert (undisturbed.metrics, undisturbed.holdout_accuracy) == (resumed.metrics, resumed.holdout_accuracy)
    # The manifest names its execution's own throughput nowhere, so even the model's files are the same bytes.
    assert _files(resources) == kept
    assert len(kept) == len(before) + 5, "the four of a model, and its answers to the test images"


def test_a_checkpoint_that_is_gone_or_damaged_costs_time_only(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = _post(resources)
    for damage in ("gone", "damaged"):
        _killed_after(resources, monkeypatch, 2)
        row = _row(resources, id)
        assert row.checkpoint_digest
        path = resources.artefacts.path(row.checkpoint_digest)
        path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-1])
        _lose(resources, id)
    assert _killed_after(resources, monkeypatch, -1) == list(range(1, EPOCHS + 1))
    assert _row(resources, id).state is State.SUCCEEDED


def test_cancelling_removes_the_checkpoint(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
        # Long enough for the heartbeat to hear of it.
        id = factories.queued_experiment(session, factories.shades_spec(training={"epochs": 500})).id
    before = _files(resources)
    offer = Checkpoints.offer

    def offer_then_cancel(self: Checkpoints, progress: Any, snapshot: Any) -> None:
        offer(self, progress, snapshot)
        if progress.epoch == 2:
            with resources.sessions.begin() as session:
                experiments.cancel(session, id)

    monkeypatch.setattr(Checkpoints, "offer", offer_then_cancel)
    train_oldest(resources)
    assert _row(resources, id).state is State.CANCELLED
    assert _files(resources) == before


def test_a_full_disk_stops_the_checkpoint_and_not_the_training(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = _post(resources)
    artefacts = resources.artefacts
    (artefacts.root / "scratch").rmdir()
    (artefacts.root / "scratch").write_bytes(b"")  # no scratch folder can be made: as when the disk is full
    offer = Checkpoints.offer

    def offer_then_mend(self: Checkpoints, progress: Any, snapshot: Any) -> None:
        offer(self, progress, snapshot)
        if progress.epoch == EPOCHS - 1:
            (artefacts.root / "scratch").unlink()

    monkeypatch.setattr(Checkpoints, "offer", offer_then_mend)
    train_oldest(resources)
    row = _row(resources, id)
    assert (row.state, row.checkpoint_epochs, row.attempt) == (State.SUCCEEDED, 0, 1)
