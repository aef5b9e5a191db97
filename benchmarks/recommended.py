"""The preset `recommended` beside no noise and uniform noise: accuracy, and how well each tells unknown images from known.

    python benchmarks/recommended.py --archive ../shared/cifar10.tar.xz --data-dir runs

AUROC of the reject score (1 − largest known-class probability), all test images against 2,000 of each unknown family;
and the share rejected at the default threshold. What the data directory has already is not repeated. Exits with 1 when
a target is missed. Keeps everything in benchmarks/results/recommended.json.
"""

import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from cifar10_runs import DATASET, command_of, noisegate_with_cifar10, options, run_or_resume, side_by_side
from PIL import Image
from record import keep
from rich.console import Console
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from noisegate.api.result_answers import ResultRow
from noisegate.client import Noisegate
from noisegate.inference.classifier import Classifier
from noisegate.manifest import ModelManifest

UNKNOWN_IMAGES = 2000
SIZE = 32
TARGET_AUROC = 98.0
TARGET_ACCURACY_POINTS = 1.0
# No training image came from these: what the issue of unknown families is about.
TARGET_FAMILIES = ("rademacher", "checkerboard", "blobs", "digits")
NOISES: dict[str, Any] = {
    "none": None,
    "uniform": {"family": "uniform", "quantity": 5},
    "structured": {"family": "structured", "quantity": 5},
}

Images = npt.NDArray[np.uint8]


def main() -> int:
    asked = options(__doc__, epochs=12).parse_args()
    spec = side_by_side("recommended beside no noise and uniform", asked, NOISES)
    with noisegate_with_cifar10(asked) as (client, console):
        results = run_or_resume(client, console, spec)
        known = _test_images(client)
        found = {name: _evaluated(client, row, known) for name, row in zip(NOISES, results["rows"], strict=True)}
    _print(console, found)
    targets = _targets(found)
    figures = {
        "command": command_of(asked),
        "epochs": asked.epochs,
        "executions_per_cell": asked.executions,
        "known_images": len(known),
        "unknown_images_per_family": UNKNOWN_IMAGES,
        "models": found,
        "results": results,
        "targets": targets,
    }
    console.print(f"Kept in {keep('recommended', figures)}")
    missed = [name for name, reached in targets.items() if not reached]
    console.print(f"Missed: {', '.join(missed)}" if missed else "All targets reached.")
    return 1 if missed else 0


def rademacher(generator: np.random.Generator, _known: Images) -> Images:
    """Every value 0 or 255."""
    bits: Images = generator.integers(0, 2, (UNKNOWN_IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    return bits * np.uint8(255)


def checkerboard(generator: np.random.Generator, _known: Images) -> Images:
    """Squares of 4 pixels in two random colours, at a random offset."""
    rows = np.arange(SIZE)
    offsets = generator.integers(0, 8, (UNKNOWN_IMAGES, 2))
    boards = ((rows[None, :, None] + offsets[:, :1, None]) // 4 + (rows[None, None, :] + offsets[:, 1:, None]) // 4) % 2
    colours = generator.integers(0, 256, (UNKNOWN_IMAGES, 2, 3), dtype=np.uint8)
    coloured: Images = colours[np.arange(UNKNOWN_IMAGES)[:, None, None], boards]
    return coloured


def blobs(generator: np.random.Generator, _known: Images) -> Images:
    """Blurred noise with everything below its median black: the blobs of the outlier-exposure literature."""
    fields = ndimage.gaussian_filter(
        generator.random((UNKNOWN_IMAGES, SIZE, SIZE, 3)), sigma=(0, 1.5, 1.5, 0), mode="wrap"
    )
    low, high = fields.min(axis=(1, 2, 3), keepdims=True), fields.max(axis=(1, 2, 3), keepdims=True)
    scaled = (fields - low) / (high - low)
    return np.where(scaled < np.median(scaled), 0, scaled * 255).astype(np.uint8)


def digits(_generator: np.random.Generator, _known: Images) -> Images:
    """The bundled handwritten digits, enlarged, as Noisegate's dataset `digits` has them (1,797 images)."""
    scans = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    large = [Image.fromarray(scan).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for scan in scans]
    return np.repeat(np.stack([np.asarray(image) for image in large])[..., None], 3, axis=3)


def uniform(generator: np.random.Generator, _known: Images) -> Images:
    """Independent values 0 … 255."""
    return generator.integers(0, 256, (UNKNOWN_IMAGES, SIZE, SIZE, 3), dtype=np.uint8)


def gaussian(generator: np.random.Generator, _known: Images) -> Images:
    """The paper's: mean 127, standard deviation 70."""
    return np.clip(generator.normal(127, 70, (UNKNOWN_IMAGES, SIZE, SIZE, 3)).round(), 0, 255).astype(np.uint8)


def solid(generator: np.random.Generator, _known: Images) -> Images:
    """One colour an image."""
    colours = generator.integers(0, 256, (UNKNOWN_IMAGES, 1, 1, 3), dtype=np.uint8)
    return np.broadcast_to(colours, (UNKNOWN_IMAGES, SIZE, SIZE, 3)).copy()


def shuffled(generator: np.random.Generator, known: Images) -> Images:
    """Test images with their pixels in random order."""
    pixels = known[:UNKNOWN_IMAGES].reshape(-1, SIZE * SIZE, 3)
    return np.stack([generator.permutation(image) for image in pixels]).reshape(-1, SIZE, SIZE, 3)


def inverted(_generator: np.random.Generator, known: Images) -> Images:
    """Test images as negatives: still natural in all but their colours."""
    return 255 - known[:UNKNOWN_IMAGES]


FAMILIES: tuple[Callable[[np.random.Generator, Images], Images], ...] = (
    rademacher,
    checkerboard,
    blobs,
    digits,
    uniform,
    gaussian,
    solid,
    shuffled,
    inverted,
)


def _evaluated(client: Noisegate, row: ResultRow, known: Images) -> dict[str, Any]:
    classifier = _classifier(client, row["best_model"] or "")
    known_scores, _ = _scores(classifier, known)
    unknown = {}
    for number, family in enumerate(FAMILIES):
        # Far from every seed that the worker derives.
        images = family(np.random.default_rng(1_000 + number), known)
        scores, rejected = _scores(classifier, images)
        truth = np.concatenate([np.zeros(len(known_scores)), np.ones(len(scores))])
        auroc = 100 * float(roc_auc_score(truth, np.concatenate([known_scores, scores])))
        unknown[family.__name__] = {"auroc": round(auroc, 2), "rejected_pct": round(100 * rejected, 1)}
    accuracy = row["accuracy"]
    return {
        "model": row["best_model"],
        "accuracy_pct": round(100 * accuracy["mean"], 2) if accuracy else None,
        "false_reject_pct": round(100 * row["false_reject"]["mean"], 2) if row["false_reject"] else None,
        "unknown": unknown,
    }


def _classifier(client: Noisegate, model: str) -> Classifier:
    manifest = ModelManifest.model_validate_json(client.models.file(model, "model.json"))
    return Classifier(client.models.file(model, "model.onnx"), manifest)


def _scores(classifier: Classifier, images: Images) -> tuple[npt.NDArray[np.float64], float]:
    """Reject scores, and the share that the default threshold rejects."""
    decisions = [one for part in np.array_split(images, 40) for one in classifier.classify(part)]
    scores = np.array([decision.reject_score for decision in decisions])
    return scores, float(np.mean([decision.rejected for decision in decisions]))


def _test_images(client: Noisegate) -> Images:
    count = next(dataset["test_count"] for dataset in client.datasets.list() if dataset["name"] == DATASET) or 0
    encoded = (client.datasets.image(DATASET, "test", index).png for index in range(count))
    return np.stack([np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in encoded])


def _targets(found: dict[str, Any]) -> dict[str, bool]:
    loss = found["none"]["accuracy_pct"] - found["structured"]["accuracy_pct"]
    reached = {f"accuracy within {TARGET_ACCURACY_POINTS:g} point of no noise": loss <= TARGET_ACCURACY_POINTS}
    for family in TARGET_FAMILIES:
        auroc = found["structured"]["unknown"][family]["auroc"]
        reached[f"AUROC of {family} >= {TARGET_AUROC:g}"] = auroc >= TARGET_AUROC
    return reached


def _print(console: Console, found: dict[str, Any]) -> None:
    console.print("unknown images: AUROC (share rejected) of " + ", ".join(found))
    for family in FAMILIES:
        shown = [entry["unknown"][family.__name__] for entry in found.values()]
        console.print(f"{family.__name__}: " + "  ".join(f"{one['auroc']} ({one['rejected_pct']} %)" for one in shown))
    console.print("accuracy: " + "  ".join(f"{entry['accuracy_pct']} %" for entry in found.values()))


if __name__ == "__main__":
    sys.exit(main())
