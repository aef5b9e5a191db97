"""Manifests of models that were never trained."""

from noisegate.manifest import Calibration, Metrics, ModelManifest
from noisegate.spec import TrainingExperiment


def manifest(
    classes: list[str] | None = None,
    *,
    has_noise_class: bool = True,
    quantiles: list[float] | None = None,
    image_size: int = 8,
) -> ModelManifest:
    return ModelManifest(
        network="paper",
        image_size=image_size,
        classes=classes or ["cat", "dog"],
        has_noise_class=has_noise_class,
        calibration=Calibration(samples=100, quantiles=quantiles) if quantiles else None,
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
