"""`noisegate train` and `noisegate classify` on a running installation, as somebody with a folder of photographs would use them."""

import csv
import io
import re
from pathlib import Path

import pytest

from noisegate.client import cli
from noisegate.local import running as local
from tests.client.images import fill, png

SHADES = {"dark": (20, 100), "bright": (150, 240)}
SETTINGS = {
    "network": "paper",  # photographs of 32 pixels would be trained on a backbone
    "image_size": 32,
    "executions": 1,
    "holdout": 0.2,
    "training.epochs": 12,
    "training.batch_size": 8,
    "training.learning_rate": 0.003,
    "training.learning_rate_drop": "null",
    "training.first_layer_std": 0.1,
    "noise": '{"family": "uniform"}',
}


def shades(folder: Path, of_each: int, first_seed: int) -> Path:
    names = [(name, number) for name in SHADES for number in range(of_each)]
    images = {
        f"{name}/{number}.png": png(first_seed + seed, *SHADES[name], size=32)
        for seed, (name, number) in enumerate(names)
    }
    return fill(folder, images)


def test_from_photographs_to_answers(
    running: local.Running, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISEGATE_URL", running.url)
    photos = shades(tmp_path / "photos", 60, first_seed=0)
    settings = [word for path, value in SETTINGS.items() for word in ("--set", f"{path}={value}")]
    assert cli.run(["train", str(photos), "--name", "my shades", *settings]) == 0
    said = capsys.readouterr().out
    assert "photos: 2 classes, 120 images" in said
    assert "2 classes, 96 images to train on, 24 to test." in said
    found = re.search(r"accuracy  (\d+\.\d+)% of the test images, one execution\n", said)
    assert found
    assert float(found[1]) > 90
    model = re.search(r"model     (mod_\w+)", said)
    assert model

    new = fill(shades(tmp_path / "new", 5, first_seed=1000), {"dark/9.png": b"no image"})
    assert cli.run(["classify", str(new), "--model", model[1], "--csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [Path(row["file"]).parent.name for row in rows] == ["bright"] * 5 + ["dark"] * 6
    *images, bad = rows
    assert all(row["nearest_class"] == Path(row["file"]).parent.name for row in images)
    assert sum(row["accepted"] == "yes" for row in images) >= 5
    assert bad["error"] == "the image is text"

    # Another name for the same folder is another name for the same dataset.
    assert cli.run(["upload", str(photos), "--name", "again"]) == 0
    with running.client() as client:
        assert client.datasets.get("again")["id"] == client.datasets.get("my shades")["id"]
