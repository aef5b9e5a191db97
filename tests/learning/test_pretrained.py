import http.server
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load
from torch import nn
from torchvision.models import AlexNet, AlexNet_Weights, alexnet

from noisegate.errors import SourceUnavailable
from noisegate.inference.classifier import Classifier
from noisegate.learning.export import ModelFiles
from noisegate.learning.pretrained import export_pretrained
from noisegate.manifest import ModelManifest
from noisegate.networks import alexnet as ours
from noisegate.networks.alexnet import OFFICIAL_SHA256
from noisegate.spec import PretrainedExperiment

NAME = "alexnet-owt-7be5be79.pth"
SPEC = PretrainedExperiment(name="torchvision AlexNet")


@pytest.fixture(scope="module")
def theirs() -> AlexNet:
    """torchvision's own network, with made-up weights that give logits of about 1, as its real ones give of about 10."""
    generator = torch.Generator().manual_seed(0)
    network = alexnet().eval()
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
        nn.init.normal_(parameter, std=(2 / fan_in) ** 0.5, generator=generator)
    return network


@pytest.fixture(scope="module")
def weights_file(theirs: AlexNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "made-up.pth"
    torch.save(theirs.state_dict(), file)
    return file


class Tampered:
    """Unpickling it leaves a mark in the current folder."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("unpickled", "w")


@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"<html>" * 100),
        lambda file: torch.save({"features.0.weight": torch.zeros(3)}, file),
        lambda file: torch.save([1, 2], file),
        lambda file: torch.save(Tampered(), file),
        Path.exists,
    ],
    ids=["empty", "a page", "another network", "a list", "a pickle that runs code", "none"],
)
def test_a_file_that_is_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "w.pth")
    with pytest.raises(SourceUnavailable, match="does not hold the weights"):
        ours.load(tmp_path / "w.pth")
    assert not (tmp_path / "unpickled").exists()


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision would keep its weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Have torchvision's URL lead to a server of ours, which answers with this file."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with self.server.published.open("rb") as file:  # type: ignore[attr-defined]
                shutil.copyfileobj(file, self.wfile)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:

        def serve(file: Path) -> None:
            server.published = file  # type: ignore[attr-defined]
            monkeypatch.setattr(ours.OFFICIAL.value, "url", f"http://127.0.0.1:{server.server_port}/{NAME}")

        threading.Thread(target=server.serve_forever).start()
        yield serve
        server.shutdown()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """What somebody's network answers with, whatever is asked for."""
    page = tmp_path / "page.html"
    page.write_text("<html>Please log in</html>")
    return page


def unavailable() -> SourceUnavailable:
    with pytest.raises(SourceUnavailable) as caught:
        ours.load()
    assert "TORCH_HOME" in str(caught.value.remedy)
    return caught.value


def test_the_hash_is_the_one_that_the_name_of_torchvisions_file_begins() -> None:
    assert re.search(r"-([0-9a-f]{8})\.pth$", ours.OFFICIAL.url)[1] == OFFICIAL_SHA256[:8]  # type: ignore[index]


def test_weights_are_fetched_once(
    checkpoints: Path,
    publish: Callable[[Path], None],
    page: Path,
    weights_file: Path,
    theirs: AlexNet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ours, "OFFICIAL_SHA256", ours._sha256(weights_file))
    publish(weights_file)
    found = ours.load()
    assert torch.equal(found.network.state_dict()["features.0.weight"], theirs.features[0].weight)
    assert not found.network.training  # else dropout would be at work
    assert found.source.name == ours.OFFICIAL.url
    assert [file.name for file in checkpoints.iterdir()] == [NAME]
    publish(page)
    assert ours.load().source == found.source


def test_other_bytes_than_torchvisions_are_not_kept(
    checkpoints: Path, publish: Callable[[Path], None], page: Path
) -> None:
    publish(page)
    assert OFFICIAL_SHA256 in unavailable().detail
    assert not list(checkpoints.iterdir())


def test_a_wrong_file_in_their_place_is_not_opened(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.mkdir(parents=True)
    torch.save([1, 2], checkpoints / NAME)
    assert OFFICIAL_SHA256 in unavailable().detail


def test_no_connection(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(ours.OFFICIAL.value, "url", f"http://127.0.0.1:{unused.getsockname()[1]}/{NAME}")
        assert "refused" in unavailable().detail


def test_a_server_that_never_answers(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "_SILENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(ours.OFFICIAL.value, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/{NAME}")
        assert "timed out" in unavailable().detail


def test_a_server_that_never_ends(
    checkpoints: Path, publish: Callable[[Path], None], page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "_DOWNLOAD_SECONDS", 0.0)
    publish(page)
    assert "not here after 0 s" in unavailable().detail


def test_a_folder_that_cannot_be_written_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file where a folder belongs")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    assert str(tmp_path) not in unavailable().detail


def test_fetching_can_be_stopped(checkpoints: Path, publish: Callable[[Path], None], page: Path) -> None:
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    publish(page)
    with pytest.raises(Stopped):
        ours.load(between_chunks=stop)
    assert not list(checkpoints.iterdir())


@pytest.fixture(scope="module")
def files(weights_file: Path) -> ModelFiles:
    return export_pretrained(ours.load(weights_file), spec=SPEC, cell=0, execution=0, seed=7)


@pytest.fixture(scope="module")
def classifier(files: ModelFiles) -> Classifier:
    return Classifier(files.onnx, files.manifest)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 3])
def test_it_answers_as_torchvisions_own_network_and_preset_do(
    theirs: AlexNet, classifier: Classifier, count: int
) -> None:
    # Their preset on an image that has the size of their crop already, with nothing left to cut.
    preset = AlexNet_Weights.IMAGENET1K_V1.transforms(resize_size=224)
    with torch.inference_mode():
        prepared = preset(torch.from_numpy(images(count)).permute(0, 3, 1, 2))
        expected = theirs(prepared)
    logits, features = classifier.logits(images(count))
    assert expected.std() > 0.5  # else nothing could differ by much
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    last = theirs.classifier[-1]
    assert features.shape == (count, 4096)
    np.testing.assert_allclose(
        features @ last.weight.detach().numpy().T + last.bias.detach().numpy(), expected, rtol=1e-3, atol=1e-3
    )


def test_a_decision_names_imagenets_classes(theirs: AlexNet, classifier: Classifier) -> None:
    (decision,) = classifier.classify(images(1))
    assert decision.label in AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    assert len(decision.probabilities) == 1000  # two classes of one name would be one
    assert sum(decision.probabilities.values()) == pytest.approx(1)
    assert (decision.rejected, decision.threshold, decision.noise_probability) == (False, None, None)


def test_manifest(files: ModelFiles, weights_file: Path) -> None:
    manifest = files.manifest
    assert ModelManifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert (manifest.network, manifest.image_size, manifest.has_noise_class) == ("alexnet", 224, False)
    assert (manifest.spec, manifest.seed) == (SPEC, 7)
    assert (manifest.metrics, manifest.dataset_hash, manifest.calibration, manifest.precision) == (None,) * 4
    assert manifest.source is not None
    assert manifest.source.name == "made-up.pth"
    assert manifest.source.sha256 == ours._sha256(weights_file)
    assert 0 < manifest.onnx_largest_difference < 1e-3
    assert "torchvision" in manifest.versions


def test_the_files_hold_torchvisions_weights_by_their_names(files: ModelFiles, theirs: AlexNet) -> None:
    tensors = load(files.weights)
    preset = AlexNet_Weights.IMAGENET1K_V1.transforms()
    torch.testing.assert_close(tensors.pop("mean") / 255, torch.tensor(preset.mean))
    torch.testing.assert_close(tensors.pop("std") / 255, torch.tensor(preset.std))
    assert all(
        torch.equal(tensors.pop(f"network.{name}"), parameter) for name, parameter in theirs.state_dict().items()
    )
    assert not tensors


def test_a_model_names_no_path_of_this_machine(files: ModelFiles) -> None:
    graph = onnx.ModelProto.FromString(files.onnx).graph
    del graph.initializer[:]  # 244 MB of random bytes hold any three
    assert b".py" not in graph.SerializeToString()
