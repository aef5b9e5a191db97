"""Processes for data beside those that train: an upload waits for neither training nor features, and none is left behind."""

import io
import signal
import zipfile
from collections.abc import Callable
from typing import TypeVar

import psutil
import pytest
import sqlalchemy as sa
from PIL import Image

from noisegate.store import datasets, derived, workers
from noisegate.store.settings import Settings
from noisegate.store.states import DatasetState, DerivedState, State
from noisegate.store.tables import Dataset, Derived, Execution
from tests import factories
from tests.worker.conftest import WorkerProcess, wait_until
from tests.worker.test_features import spec as features_spec
from worker.processes import readers
from worker.resources import Resources

StartWorker = Callable[..., WorkerProcess]
Row = TypeVar("Row", Execution, Derived)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A lease that no test waits for. A message that went to a process that has just died is sent again, as it would be."""
    return settings.model_copy(update={"lease_seconds": 600.0, "wakeup_seconds": 3.0})


def archive(shade: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("cat", "dog"):
            for number in range(4):
                image = io.BytesIO()
                Image.new("RGB", (8, 8), (shade, number, len(name))).save(image, "PNG")
                archive.writestr(f"{name}/{number}.png", image.getvalue())
    return buffer.getvalue()


def _upload_and_wait(resources: Resources, name: str, shade: int) -> None:
    digest = resources.artefacts.put_bytes(archive(shade))
    with resources.sessions.begin() as session:
        added = datasets.register(session, name=name, source="upload", image_size=8, upload_digest=digest).dataset
    resources.wakeups.ingest(added.id)

    def is_ready() -> bool:
        with resources.sessions.reading() as session:
            return session.get_one(Dataset, added.id).state is DatasetState.READY

    wait_until(is_ready, seconds=60, what=f"the upload {name} is ready")


def _only(resources: Resources, row: type[Row], **columns: object) -> Row | None:
    with resources.sessions.reading() as session:
        found: Row | None = session.scalars(sa.select(row).filter_by(**columns)).first()
    return found


def _train_for_ever(resources: Resources) -> Execution:
    """Until it runs."""
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts, image_size=32)
        spec = factories.shades_spec(image_size=32, training={"epochs": 500})
        id = factories.queued_experiment(session, spec).id
    resources.wakeups.train(id)
    wait_until(lambda: bool(_only(resources, Execution, state=State.RUNNING)), seconds=60, what="it trains")
    found = _only(resources, Execution, state=State.RUNNING)
    assert found is not None
    return found


def _begin_features(resources: Resources) -> psutil.Process:
    """The process that makes them, stopped in the middle of it."""
    with resources.sessions.begin() as session:
        factories.queued_experiment(session, features_spec(executions=1))
    row = _only(resources, Derived)
    assert row is not None
    resources.wakeups.derive(row.id)
    wait_until(lambda: bool(_only(resources, Derived, state=DerivedState.RUNNING)), seconds=60, what="they are begun")
    held = _only(resources, Derived, state=DerivedState.RUNNING)
    assert held is not None
    maker = psutil.Process(_process(held.owner))
    maker.suspend()
    return maker


def _process(owner: str | None) -> int:
    return int((owner or "").rpartition("/")[2])


def test_an_upload_waits_for_neither_training_nor_features(resources: Resources, start_worker: StartWorker) -> None:
    """In one test, as each start of a worker costs more than all that it does here."""
    worker = start_worker(data_processes=2)
    training = _train_for_ever(resources)
    maker = _begin_features(resources)
    _upload_and_wait(resources, "first", 10)
    _survives_the_loss_of_the_process(resources, worker, training, maker)
    maker.resume()
    _is_seen_with_its_training_process(resources, training)
    _gives_all_back_and_leaves_no_process(resources, worker)


def _survives_the_loss_of_the_process(
    resources: Resources, worker: WorkerProcess, training: Execution, maker: psutil.Process
) -> None:
    uploads = next(one for one in _of_data(worker) if one != maker)
    uploads.kill()
    _upload_and_wait(resources, "second", 20)
    row = _only(resources, Execution, id=training.id)
    assert row is not None
    assert (row.state, row.attempt, row.losses) == (State.RUNNING, 1, 0), "the training went on undisturbed"


def _is_seen_with_its_training_process(resources: Resources, training: Execution) -> None:
    with resources.sessions.reading() as session:
        (seen,) = workers.seen(session)
    assert (seen.worker.processes, [one.id for one in seen.executions]) == (1, [training.id])


def _gives_all_back_and_leaves_no_process(resources: Resources, worker: WorkerProcess) -> None:
    family = [psutil.Process(worker.process.pid), *worker.children()]
    worker.terminate(seconds=30)
    assert psutil.wait_procs(family, timeout=60)[1] == []
    with resources.sessions.reading() as session:
        assert {row.state for row in session.scalars(sa.select(Execution))} == {State.QUEUED}
        held = session.scalars(sa.select(Derived)).one()
        assert (held.losses, held.lease_until) == (0, None)
        assert derived.files_of(session, held.id), "what was finished stays"


def _of_data(worker: WorkerProcess) -> list[psutil.Process]:
    return [one for one in worker.children() if one.name() == "uploads" or one.name().startswith("data-")]


def test_without_processes_for_data_the_others_do_it(resources: Resources, start_worker: StartWorker) -> None:
    worker = start_worker(data_processes=0)
    _upload_and_wait(resources, "only", 10)
    assert _of_data(worker) == []


def test_they_do_not_outlive_a_parent_that_was_killed(resources: Resources, start_worker: StartWorker) -> None:
    worker = start_worker(data_processes=1)
    _upload_and_wait(resources, "only", 10)
    (process,) = _of_data(worker)
    worker.process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([process], timeout=60)[1] == []


def test_the_first_of_several_takes_uploads_alone() -> None:
    assert list(readers(1, 3).values()) == [
        ["ingestion"],
        ["ingestion", "derivation"],
        ["ingestion", "derivation"],
        ["training"],
    ]


def test_without_processes_for_data_uploads_come_first_at_those_that_train() -> None:
    assert readers(2, 0) == {name: ["ingestion", "derivation", "training"] for name in ("training-0", "training-1")}
