"""`noisegate demo`: the whole system once, in about a minute, on data that comes with the installation.

It trains a classifier of handwritten digits with and without a noise class, shows the comparison, and then asks the
one with the noise class about a digit, about noise, and about a photograph.
"""

import importlib.util
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from noisegate.api.decisions import DecisionAnswer
from noisegate.api.result_answers import ResultsAnswer
from noisegate.client import Noisegate
from noisegate.client.errors import ClientError, ProblemError
from noisegate.client.progress import ProgressDisplay
from noisegate.client.result_tables import results_table
from noisegate.client.show import decision_block
from noisegate.local import running as local

DATASET = "digits"
# Fixed, so that no digit is picked that flatters the model.
TEST_INDEX = 0

DEMO_SPEC: dict[str, Any] = {
    "kind": "training",
    "name": "demo: digits with and without a noise class",
    "dataset": DATASET,
    "training": {
        "epochs": 4,
        "batch_size": 16,
        "learning_rate": 0.001,
        "learning_rate_drop": {"factor": 0.1, "every_epochs": 3},
        "first_layer_std": 0.1,
    },
    "noise": {"family": "uniform", "low": 0, "high": 255, "quantity": 1},
    "holdout": 0.1,
    "executions": 3,
    "seed": 0,
    "sweep": {"noise.quantity": [0, 1]},
}
IMAGE_SIZE = 32


def demo(console: Console, data_dir: Path | None, port: int) -> bool:
    """Run the demo; with no data directory in a temporary one, which is removed at the end.

    Returns:
        Whether the test digit was accepted as what it is and the noise rejected as noise.

    Raises:
        ClientError: something did not work at all.
        Interrupted: a signal came; everything started has been ended.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="noisegate-demo-") as temporary:
        console.print("Starting broker, service and worker …")
        with local.running(data_dir or Path(temporary), port, isolated=True) as up, up.client() as client:
            console.print(f"Ready at {up.url} after {time.monotonic() - started:.0f} s.")
            model = _train(client, console)
            good = ask_three_questions(client, console, model)
            console.print(f"Done in {time.monotonic() - started:.0f} s.")
            return good


def ask_three_questions(client: Noisegate, console: Console, model: str) -> bool:
    """Show three decisions of the model; whether the two that have a right answer have it."""
    digit = client.datasets.image(DATASET, "test", TEST_INDEX)
    console.print(f"Three questions to {model}, the best model with a noise class:")

    def ask(title: str, image: bytes) -> DecisionAnswer:
        decision = client.models.classify(image, model=model)
        console.print(decision_block(title, decision))
        return decision

    of_digit = ask(f'Test digit number {TEST_INDEX}, which is "{digit.label}"', digit.png)
    of_noise = ask("Uniform noise, drawn just now", noise_image(np.random.default_rng()))
    ask("A photograph of a temple, unlike anything it has seen", photograph())
    return _verdict(console, of_digit, digit.label, of_noise)


def noise_image(generator: np.random.Generator) -> bytes:
    """A PNG of uniform noise of the kind that the model saw in training; the image itself is a new one."""
    pixels = generator.integers(0, 256, size=(IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG")
    return encoded.getvalue()


def photograph() -> bytes:
    """The picture of a temple that scikit-learn brings along; found without importing scikit-learn.

    Raises:
        ClientError: it is not installed.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise ClientError("scikit-learn is not installed, whose photograph the demo shows. `pip install scikit-learn`")
    return Path(package.submodule_search_locations[0], "datasets", "images", "china.jpg").read_bytes()


def _train(client: Noisegate, console: Console) -> str:
    """Train the demo's cells and show their results; gives the id of the best model with a noise class."""
    with ProgressDisplay(console, f"dataset {DATASET}") as progress:
        dataset = client.datasets.wait(DATASET, progress=progress.show_dataset)
    if dataset.error:
        raise ProblemError.from_document(dataset.error.document())
    experiment = client.experiments.create(DEMO_SPEC)
    with ProgressDisplay(console, "training") as progress:
        experiment = client.experiments.wait(experiment.id, progress=progress.show_experiment)
    if experiment.error:
        raise ProblemError.from_document(experiment.error.document())
    results = client.experiments.results(experiment.id)
    console.print(results_table(results, console.width))
    return _best_model(results)


def _best_model(results: ResultsAnswer) -> str:
    for row in results.rows:
        if row.has_noise_class and row.best_model:
            return row.best_model
    raise ClientError("The experiment left no model with a noise class; see its executions for the reason.")


def _verdict(console: Console, of_digit: DecisionAnswer, label: str, of_noise: DecisionAnswer) -> bool:
    complaints = []
    if of_digit.rejected or of_digit.label != label:
        complaints.append(f"The digit should have been accepted as {label}.")
    if of_noise.reason != "noise":
        complaints.append("The noise should have been rejected as noise.")
    for complaint in complaints:
        console.print(complaint, style="bold red")
    return not complaints
