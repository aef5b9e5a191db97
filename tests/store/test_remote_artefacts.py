"""Files that machines share, on a server that speaks S3: two machines are two folders and one bucket."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import s3fs
import sqlalchemy as sa

from noisegate.errors import StorageUnavailable
from noisegate.learning.export import ModelFiles
from noisegate.store import expiry, files, leases
from noisegate.store.artefacts import Artefacts
from noisegate.store.remote import DamagedFile, RemoteArtefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.states import State
from noisegate.store.tables import Execution
from noisegate.store.wakeups import Wakeups
from tests import factories
from tests.conftest import wait_until
from tests.service.conftest import run_client
from tests.service.factories import onnx_bytes, png_bytes
from worker.recording import FinishedExecution, record
from worker.resources import Resources
from worker.training import train_oldest

ROOT = "shared/noisegate"
PLENTY = 10**9
# Keys that open nothing, and no looking for others: not in files, and not at the address where clouds hand them out.
IDENTITY = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
Machine = Callable[[str], Artefacts]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server of its own."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | IDENTITY) as process:
        try:
            wait_until(lambda: _listens(port), seconds=60, what="the S3 server listens")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3fs.S3FileSystem]:
    """An empty bucket `shared`, on the server that the environment names."""
    for name, value in (IDENTITY | {"AWS_ENDPOINT_URL": server}).items():
        monkeypatch.setenv(name, value)
    store = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    store.mkdir("shared")
    yield store
    store.rm("shared", recursive=True)


@pytest.fixture
def database_kind() -> str:
    """Of one kind: what is tested here is not the database."""
    return "sqlite"


@pytest.fixture
def shared(settings: Settings, bucket: s3fs.S3FileSystem, broker_url: str) -> Settings:
    """Of a process that shares artefacts and has none in its cache."""
    changes = {"broker_url": broker_url, "device": "cpu", "artefact_url": f"s3://{ROOT}"}
    return settings.model_copy(update=changes)


@pytest.fixture
def machine(tmp_path: Path, bucket: s3fs.S3FileSystem) -> Machine:
    return lambda name: RemoteArtefacts(tmp_path / name, f"s3://{ROOT}", cache_bytes=PLENTY)


@pytest.fixture
def unreachable(bucket: s3fs.S3FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteArtefacts:
    """A machine from which the store cannot be reached."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{_free_port()}")
    return RemoteArtefacts(tmp_path / "cut-off", f"s3://{ROOT}", cache_bytes=PLENTY)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def _objects(bucket: s3fs.S3FileSystem) -> list[str]:
    return sorted(path.removeprefix(f"{ROOT}/sha256/") for path in bucket.find(ROOT))


def test_what_one_machine_puts_another_fetches_until_it_is_deleted(machine: Machine, bucket: s3fs.S3FileSystem) -> None:
    a, b = machine("a"), machine("b")
    digest = a.put_bytes(b"hello")
    assert (_objects(bucket), _files(a.root), _files(b.root)) == ([digest], [digest], [])
    assert not b.path(digest).exists()
    assert b.size_bytes(digest) == len(b"hello")
    assert b.read(digest) == b"hello"
    assert b.fetch(digest) == b.path(digest)
    assert _files(b.root) == [digest]
    b.delete(digest)
    b.delete(digest)
    assert (_objects(bucket), _files(b.root), b.size_bytes(digest)) == ([], [], 0)
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        machine("c").read(digest)


def test_any_place_that_fsspec_knows_will_do(tmp_path: Path) -> None:
    a, b = (RemoteArtefacts(tmp_path / name, f"file://{tmp_path}/mounted", cache_bytes=PLENTY) for name in "ab")
    assert a.older_than(0) == []
    digest = a.put_bytes(b"hello")
    assert b.read(digest) == b"hello"
    assert (b.older_than(60), b.older_than(-60)) == ([], [digest])
    b.delete(digest)
    b.delete(digest)
    assert _files(tmp_path / "mounted") == []


def test_a_bucket_that_does_not_exist_is_trouble_with_the_store(tmp_path: Path, bucket: s3fs.S3FileSystem) -> None:
    lost = RemoteArtefacts(tmp_path / "lost", "s3://nowhere-to-be-found", cache_bytes=PLENTY)
    with pytest.raises(StorageUnavailable, match="does not exist"):
        lost.put_bytes(b"hello")
    assert _files(lost.root) == []


def test_a_large_file_comes_in_parts_and_stays_mapped(machine: Machine) -> None:
    array = np.random.default_rng(1).integers(0, 256, 20 * 2**20, dtype=np.uint8)
    a, b = machine("a"), machine("b")
    with a.scratch() as folder:
        np.save(folder / "array.npy", array)
        digest = a.put_file(folder / "array.npy")
    mapped = np.load(b.fetch(digest), mmap_mode="r")
    b.path(digest).unlink()  # as when room is made
    assert np.array_equal(mapped, array)


def test_words_are_no_place_in_the_store(machine: Machine) -> None:
    for ask in (machine("a").fetch, machine("a").delete):
        with pytest.raises(ValueError, match="not a SHA-256 digest"):
            ask("../../etc/passwd")


def test_a_damaged_object_is_refused(machine: Machine, bucket: s3fs.S3FileSystem) -> None:
    digest = machine("a").put_bytes(b"hello")
    bucket.pipe_file(f"{ROOT}/sha256/{digest}", b"hellO")
    b = machine("b")
    with pytest.raises(DamagedFile, match="is damaged"):
        b.fetch(digest)
    assert _files(b.root) == []


def test_an_object_removed_between_sealing_and_placing_is_uploaded_again(machine: Machine) -> None:
    a = machine("a")
    with a.scratch() as folder:
        (folder / "data").write_bytes(b"hello")
        digest = a.seal(folder / "data")
        machine("b").delete(digest)
        a.place(folder / "data", digest)
    assert machine("c").read(digest) == b"hello"


def test_the_cache_gives_up_what_was_used_longest_ago(tmp_path: Path, machine: Machine) -> None:
    a = machine("a")
    first, second, third = (a.put_bytes(bytes([number]) * 1000) for number in range(3))
    small = RemoteArtefacts(tmp_path / "small", f"s3://{ROOT}", cache_bytes=2500)
    for digest in (first, second):
        small.fetch(digest)
        os.utime(small.path(digest), (1e9, 1e9))
    small.fetch(first)  # used again, and so the second is the one to go
    small.fetch(third)
    assert _files(small.root) == sorted([first, third])
    assert small.read(second) == bytes([1]) * 1000
    assert _files(small.root) == sorted([first, second, third]), "what has just been used stays, whatever the bound"


def test_a_sweep_looks_at_the_store_and_not_at_the_cache(
    tmp_path: Path, machine: Machine, bucket: s3fs.S3FileSystem, sessions: Sessions
) -> None:
    a, b = machine("a"), machine("b")
    with sessions.begin() as session:
        dataset = factories.stored_dataset(session, a)
    named = sorted({dataset.images_digest or "", dataset.labels_digest or ""})
    orphan = a.put_bytes(b"its process was killed")
    bucket.pipe_file(f"{ROOT}/sha256/notes.txt", b"somebody else's")
    os.utime(a.path(orphan), (1e9, 1e9))
    assert files.sweep(sessions, b, older_than_seconds=50) == []
    assert files.sweep(sessions, b, older_than_seconds=-50) == [orphan]
    assert _objects(bucket) == sorted([*named, "notes.txt"])


def test_a_store_that_cannot_be_reached_leaves_nothing_half_written(unreachable: RemoteArtefacts) -> None:
    digest = "0" * 64
    with pytest.raises(StorageUnavailable, match="does not answer"):
        unreachable.put_bytes(b"hello")
    for ask in (unreachable.fetch, unreachable.delete):
        with pytest.raises(StorageUnavailable):
            ask(digest)
    with pytest.raises(StorageUnavailable):
        unreachable.older_than(1)
    assert _files(unreachable.root) == []
    assert list((unreachable.root / "scratch").iterdir()) == []


def test_a_model_recorded_on_one_machine_is_served_by_another(
    shared: Settings, sessions: Sessions, machine: Machine, wakeups: Wakeups
) -> None:
    a = machine("a")
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(executions=1, noise=None, sweep={}))
    with sessions.begin() as session:
        execution, lease = factories.claim_one(session)
        described = factories.manifest(execution)
    made = ModelFiles(weights=b"weights", onnx=onnx_bytes((0.0, 5.0)), manifest=described, reference=None)
    found = FinishedExecution(factories.outcome(), made, keep="best")
    record(Resources(shared, sessions, a, wakeups, worker="a"), execution, lease, found)

    assert not _files(shared.artefact_root)
    with run_client(shared) as client:
        answer = client.post("/classify", content=png_bytes(), headers={"Content-Type": "image/png"})
        assert (answer.status_code, answer.json()["label"]) == (200, "dog")
        assert client.get("/models/default/files/model.safetensors").content == b"weights"
    assert len(_files(shared.artefact_root)) == 2


def test_a_store_that_is_away_fails_no_execution_and_is_told_by_the_service(
    shared: Settings, sessions: Sessions, machine: Machine, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sessions.begin() as session:
        factories.stored_dataset(session, machine("a"))
        factories.queued_experiment(session, factories.shades_spec())
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{_free_port()}")
    train_oldest(Resources(shared, sessions, machine("cut off"), wakeups, worker="cut off"))
    with sessions.begin() as session:
        execution = session.scalars(sa.select(Execution)).one()
        assert execution.error
        assert (execution.state, execution.error.code) == (State.RUNNING, "storage-unavailable")
        lease = leases.Lease(execution.id, execution.owner or "", execution.attempt)
        leases.renew(session, Execution, lease, lease_seconds=-1)
        reaped = expiry.reap(session, lease_seconds=60, max_losses=3, error=factories.failure())
        assert reaped.requeued == [execution.id]
    with run_client(shared) as client:
        answer = client.get("/datasets/shades/images/train/0.png")
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
