"""Everything at once, as a person would use it: `noisegate up` in one process, HTTP in another."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisegate.client import Noisegate
from noisegate.local.demo import noise_image

SHADES = {"dark": (20, 100), "bright": (150, 240)}


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


def _shade(generator: np.random.Generator, name: str, size: int = 16) -> bytes:
    return _png(generator.integers(*SHADES[name], (size, size, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright images in folders, as an engineer would have them."""
    generator = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("archive") / "shades.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for name in SHADES:
            for number in range(100):
                opened.writestr(f"{name}/{number}.png", _shade(generator, name))
    return path


SPEC = {
    "dataset": "shades",
    "image_size": 16,
    "executions": 2,
    "holdout": 0.2,
    "training": {
        "epochs": 20,
        "batch_size": 20,
        "learning_rate": 0.003,
        "learning_rate_drop": None,
        "first_layer_std": 0.1,
    },
    "noise": {"family": "uniform"},
    "sweep": {"noise.quantity": [0, 1]},
}


def _classifies_a_folder(client: Noisegate, folder: Path, generator: np.random.Generator) -> None:
    """Many files in one request, of which one is no image."""
    files = [folder / f"{number}.png" for number in range(5)]
    for number, file in enumerate(files):
        file.write_bytes(_shade(generator, "bright" if number % 2 else "dark") if number != 3 else b"no image")
    lines = client.models.classify_many(files, model="production", top_k=1)
    assert [line["name"] for line in lines] == [file.name for file in files]
    labels = [list(line["classification"]["probabilities"]) if line["classification"] else None for line in lines]
    assert labels == [["dark"], ["bright"], ["dark"], None, ["dark"]]
    assert lines[3]["problem"]
    assert lines[3]["problem"]["code"] == "invalid-image"


def test_an_engineers_way(client: Noisegate, archive: Path, tmp_path: Path) -> None:
    """Upload folders, train, read the table, take the model with a noise class into production, classify."""
    uploaded = client.datasets.upload(archive, name="shades", image_size=16)
    dataset = client.datasets.wait(uploaded["id"], progress=lambda _: None)
    assert (dataset["state"], dataset["classes"], dataset["train_count"]) == ("ready", ["bright", "dark"], 160)

    experiment = client.experiments.wait(client.experiments.create(SPEC)["id"], progress=lambda _: None)
    assert (experiment["state"], experiment["progress"]) == ("succeeded", 1.0)
    without, with_noise = client.experiments.results(experiment["id"])["rows"]
    assert without["n"] == with_noise["n"] == 2
    assert with_noise["accuracy"] is not None
    assert with_noise["accuracy"]["mean"] == 1.0
    assert with_noise["best_model"] is not None
    # Another test of this service may have been the first whose model became `default`.
    assert experiment["published"] is not None
    assert experiment["published"]["outcome"] in ("set", "kept")
    assert any("default" in model["aliases"] for model in client.models.list())

    client.aliases.set("production", with_noise["best_model"])
    generator = np.random.default_rng(4)
    for name in SHADES:
        # Another size than the model's: resized as in training.
        decision = client.models.classify(_shade(generator, name, size=48), model="production")
        assert decision["known_label"] == name
    _classifies_a_folder(client, tmp_path, generator)
    card = client.models.card("production")
    assert card["card"]["accuracy"] == 1.0
    assert {one["name"] for one in card["card"]["families"] if one["trained"]} == {"uniform"}
    noise = client.models.classify(noise_image(generator), model="production")
    assert (noise["label"], noise["rejected"], noise["reason"]) == ("noise", True, "noise")
    assert noise["model"]["id"] == with_noise["best_model"]


def test_the_same_upload_again_is_the_same_dataset(client: Noisegate, archive: Path) -> None:
    first = client.datasets.upload(archive, name="shades", image_size=16)
    again = client.datasets.upload(archive, name="another name", image_size=16)
    assert again["id"] == first["id"]
