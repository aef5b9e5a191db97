"""Manifests and references of models that were never trained."""

import numpy as np

from noisegate.manifest import Calibration, Metrics, ModelManifest
from noisegate.rejection.reference import Reference
from noisegate.spec import TrainingExperiment

SCORE_NAMES = ("msp", "max_logit", "energy", "entropy", "knn", "mahalanobis", "vim")


def manifest(
    classes: list[str] | None = None,
    *,
    has_noise_class: bool = True,
    quantiles: list[float] | None = None,
    image_size: int = 8,
    temperature: float | None = None,
    samples: int = 100,
    called_noise: int | None = None,
) -> ModelManifest:
    """Without `called_noise` its calibration, if there is one, is of a model from before promises covered the whole rule."""
    calibration = None
    if quantiles:
        calibration = Calibration(
            samples=samples, quantiles=quantiles, temperature=temperature, called_noise=called_noise
        )
    return ModelManifest(
        network="paper",
        image_size=image_size,
        classes=classes or ["cat", "dog"],
        has_noise_class=has_noise_class,
        calibration=calibration,
        holdout_accuracy=None,
        metrics=Metrics(
            test_images=1,
            accuracy=1,
            confidence=None,
            spuriousness=None,
            true_class_probability=None,
            noise_per_10000=0,
            false_reject=None,
        ),
        dataset_hash="0" * 64,
        spec=TrainingExperiment(dataset="digits"),
        cell=0,
        execution=0,
        seed=0,
        precision="float32",
        device="cpu",
        versions={},
        onnx_largest_difference=0,
    )


def _a_class_along_the_first_axis(width: int) -> dict[str, np.ndarray]:
    """A squared distance that is Euclidean, as the variance is 1 everywhere."""
    axis = np.eye(1, width, dtype=np.float32)
    nothing = np.zeros((1, width), dtype=np.float32)
    return {
        "centre": axis[0],
        "directions": nothing,
        "classes": nothing,
        "offsets": np.zeros(1),
        "variance": np.ones(1),
    }


def reference(classes: int, width: int = 2) -> Reference:
    """Quantiles of the scores from 0 to 1, ten holdout images a class, one feature vector along the first axis."""
    return Reference(
        quantiles={name: np.linspace(0, 1, 1001) for name in SCORE_NAMES},
        nonconformity=np.tile(np.arange(10) / 10, classes),
        class_counts=np.full(classes, 10),
        reject_scores=np.arange(10 * classes) / (10 * classes),
        fitted={
            "knn": {"features": np.eye(1, width, dtype=np.float32), "neighbours": np.array([5])},
            "mahalanobis": _a_class_along_the_first_axis(width),
            "vim": {"origin": np.zeros(width), "directions": np.eye(1, width), "scale": np.ones(1)},
        },
    )
