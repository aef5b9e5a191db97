"""Files by their digests: nothing half-written, no path from a caller's words."""

import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from noisegate.store.artefacts import Artefacts


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_file_is_found_by_its_digest(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path / "a")
    digest = artefacts.put_bytes(b"hello")
    assert digest == hashlib.sha256(b"hello").hexdigest()
    assert artefacts.read(digest) == b"hello"
    assert artefacts.put_bytes(b"hello") == digest
    assert len(_files(artefacts.root)) == 1
    artefacts.delete(digest)
    artefacts.delete(digest)
    assert _files(artefacts.root) == []


@pytest.mark.parametrize("words", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"])
def test_no_path_is_built_from_other_words(tmp_path: Path, words: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256 digest"):
        Artefacts(tmp_path).path(words)


def test_a_scratch_folder_leaves_nothing_even_after_an_error(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    with pytest.raises(RuntimeError), artefacts.scratch() as folder:
        (folder / "half").write_bytes(b"half")
        raise RuntimeError
    assert list((tmp_path / "scratch").iterdir()) == []


def test_only_what_was_left_long_ago_is_swept(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    assert artefacts.sweep_scratch(60) == []
    left = tmp_path / "scratch" / "left"
    with artefacts.scratch() as alive:
        left.mkdir()
        (left / "half").write_bytes(b"half")
        for path in (left / "half", left):
            os.utime(path, (1e9, 1e9))
        assert artefacts.sweep_scratch(60) == ["left"]
        assert alive.exists()
    assert not left.exists()


def test_a_full_disk_is_said_clearly_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on file size stands in for the full disk: the write fails in the same place, whoever runs the test.
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from noisegate.errors import StorageFull; from noisegate.store.artefacts import Artefacts\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: Artefacts(Path(sys.argv[1])).put_bytes(bytes(5000))\n"
        "except StorageFull as error: print(error.detail)\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "is full" in done.stdout
    assert _files(tmp_path) == []
