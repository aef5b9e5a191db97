import http.server
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from noisegate.data.cifar10 import cifar10_members
from noisegate.data.members import Member
from noisegate.data.packing import pack
from noisegate.data.sources import LICENCES, digits_members
from noisegate.errors import SourceUnavailable
from noisegate.inference.decoding import ImageLimits


def test_digits_are_scikit_learns(tmp_path: Path) -> None:
    members = list(digits_members())
    digits = load_digits()
    assert len(members) == 1797
    for member, image, target in zip(members, digits.images, digits.target, strict=True):
        assert member.name.split("/")[0] == str(target)
        assert isinstance(member.content, np.ndarray)
        np.testing.assert_array_equal(member.content, np.stack([np.round(image / 16 * 255)] * 3, axis=2))


def test_digits_pack(tmp_path: Path) -> None:
    found = pack(digits_members(), 32, tmp_path, lambda _: None, ImageLimits())
    assert found.classes == tuple("0123456789")
    assert found.train_count + found.test_count == 1797
    for digit, total in enumerate(np.bincount(load_digits().target)):
        assert found.counts["test"][str(digit)] == round(total / 5)
        assert found.counts["train"][str(digit)] == total - round(total / 5)
    images = np.load(found.images_path)
    assert images.shape == (1797, 32, 32, 3)
    assert images.min() == 0
    assert images.max() == 255
    assert (images[..., 0] == images[..., 2]).all()


def test_every_source_has_a_licence_note() -> None:
    assert set(LICENCES) == {"digits", "cifar10"}
    assert "CC BY 4.0" in LICENCES["digits"]


def test_digits_load_no_torch() -> None:
    code = "import sys, noisegate.data.sources, noisegate.data.archives; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


class Tampered:
    """Unpickling it leaves a mark in the current folder."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("unpickled", "w")


@pytest.fixture
def garbage_server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * (10 if "short" in self.path else 1000))

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def unavailable(folder: Path) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        list(cifar10_members(folder))
    assert "POST /datasets" in str(caught.value.remedy)


def test_cifar10_without_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{unused.getsockname()[1]}/cifar.tar.gz")
        unavailable(tmp_path)


@pytest.mark.parametrize("page", ["whole", "short"])
def test_cifar10_that_is_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, garbage_server: str, page: str
) -> None:
    monkeypatch.setattr(CIFAR10, "url", f"{garbage_server}/{page}")
    unavailable(tmp_path)


def test_cifar10_is_not_unpickled_before_its_checksum_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, garbage_server: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CIFAR10, "url", f"{garbage_server}/whole")
    batches = tmp_path / CIFAR10.base_folder
    batches.mkdir()
    for name in [*(name for name, _ in CIFAR10.train_list + CIFAR10.test_list), CIFAR10.meta["filename"]]:
        (batches / name).write_bytes(pickle.dumps(Tampered()))
    unavailable(tmp_path)
    assert not (tmp_path / "unpickled").exists()


def test_cifar10_names_say_split_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small stand-in for the official files, in their format."""
    batches = tmp_path / CIFAR10.base_folder
    batches.mkdir()
    data = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)

    def write(name: str, content: dict[str, object]) -> str:
        (batches / name).write_bytes(pickle.dumps(content))
        return md5((batches / name).read_bytes()).hexdigest()

    train_sum = write("data_batch_1", {"data": data, "labels": [1, 0, 1, 0]})
    test_sum = write("test_batch", {"data": data[:2], "labels": [0, 1]})
    meta_sum = write("batches.meta", {"label_names": ["cat", "dog"]})
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", train_sum]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", test_sum]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta_sum})

    members: list[Member] = list(cifar10_members(tmp_path))
    assert [member.name.rsplit("/", 1)[0] for member in members] == [
        *("train/dog", "train/cat", "train/dog", "train/cat"),
        *("test/cat", "test/dog"),
    ]
    assert len({member.name for member in members}) == 6
    # The files hold three planes of 32 × 32: red, green, blue.
    np.testing.assert_array_equal(members[0].content, data[0].reshape(3, 32, 32).transpose(1, 2, 0))
    assert pack(members, 32, tmp_path, lambda _: None, ImageLimits()).classes == ("cat", "dog")
