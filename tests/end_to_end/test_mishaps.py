"""A disk that is full, and a worker that is killed: what happens to an installation from outside."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from noisegate.client.errors import ChildEnded
from noisegate.disk import files_below
from noisegate.local import running as local
from tests.data.archive_factory import picture, write_archive


@dataclass(frozen=True)
class Disk:
    """A folder, on a file system of 24 MiB where this machine lets one be mounted."""

    folder: Path
    small: bool


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounting needs root. Without it, tests/worker and tests/store show a full disk otherwise."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)]
    small = os.geteuid() == 0 and subprocess.run(command, check=False).returncode == 0
    yield Disk(folder, small)
    if small:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_and_a_worker_killed_with_all_its_children(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one test, as the start of an installation costs more than either."""
    monkeypatch.setenv("NOISEGATE_MIN_FREE_BYTES", "0")  # no warning before the disk is really full
    before = psutil.Process().children(recursive=True)
    with pytest.raises(ChildEnded, match="worker"), local.running(disk.folder / "data", 0, workers=1) as up:
        if disk.small:
            _fails_the_ingestion_and_nothing_else(up, tmp_path / "pets.zip")
        family = [child for child in psutil.Process().children(recursive=True) if child not in before]
        assert len(family) >= 3  # broker, service and worker at least
        next(child for child in family if "worker.main" in child.cmdline()).kill()
        up.supervisor.pause(20)
    # It was noticed, and everything ended. That it starts again with its data is shown in tests/local/test_running.py.
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []


def _fails_the_ingestion_and_nothing_else(up: local.Running, path: Path) -> None:
    flat = {f"{name}/{number}.png": picture(number) for name in ("cat", "dog") for number in range(40)}
    archive = write_archive(path, flat)
    with up.client() as client:
        client.datasets.wait("digits", progress=lambda _: None)
        before = set(files_below(up.data_dir / "artefacts"))
        # 80 images of 224 × 224 × 3 bytes: 12 MB, which are needed twice.
        large = client.datasets.wait(
            client.datasets.upload(archive, name="large", image_size=224)["id"], progress=lambda _: None
        )
        assert large["error"] is not None
        assert (large["state"], large["error"]["code"]) == ("failed", "storage-full")
        assert large["error"]["remedy"]
        assert set(files_below(up.data_dir / "artefacts")) == before
        small = client.datasets.wait(
            client.datasets.upload(archive, name="small", image_size=8)["id"], progress=lambda _: None
        )
        assert small["state"] == "ready"
