"""A Noisegate with one trained model, of which only the service is then started."""

import os
import subprocess
import sys
from pathlib import Path

from classify_peers.subjects import Subject
from noisegate.client import Noisegate
from noisegate.client.resources.models import FileName
from noisegate.local import running as local

FILES: tuple[FileName, ...] = ("model.onnx", "model.json", "model.safetensors")
LIMIT_SECONDS = 600


def prepare(subject: Subject, folder: Path) -> tuple[Path, Path]:
    """The data directory and the model in `folder`; one that is there already is used again."""
    data_dir, model_dir = folder / "data", folder / "model"
    if model_dir.exists():
        environment = {**os.environ, **service_environment(data_dir)}
        subprocess.run([sys.executable, "-m", "migrations.run"], env=environment, check=True)
    else:
        train(subject, data_dir, model_dir)
    return data_dir, model_dir


def train(subject: Subject, data_dir: Path, model_dir: Path) -> None:
    """Train what the subject is about, make its model `default`, and copy that to `model_dir`."""
    with local.running(data_dir, 0, isolated=True) as up, up.client() as client:
        document = subject.document(client, data_dir)
        experiment = client.experiments.wait(client.experiments.create(document, time_limit=LIMIT_SECONDS)["id"])
        if experiment["state"] != "succeeded":
            sys.exit(f"the training {experiment['state']}: {experiment['error']}")
        # Of so few images no model may be found good enough to become it by itself; how good it is plays no part here.
        client.aliases.set("default", next(client.models.list(experiment=experiment.id))["id"])
        _copy_default(client, model_dir)


def service_environment(data_dir: Path) -> dict[str, str]:
    """For the service alone: /classify needs no broker, so there is none at this address."""
    return {
        "NOISEGATE_DATA_DIR": str(data_dir),
        "NOISEGATE_BROKER_URL": local.broker_url(data_dir / "no-broker.sock"),
    }


def _copy_default(client: Noisegate, model_dir: Path) -> None:
    model_dir.mkdir(parents=True)
    for name in FILES:
        (model_dir / name).write_bytes(client.models.file("default", name))
