"""How much one experiment may ask for: caps that a server sets, checked before anything is written."""

import math
from collections.abc import Iterator

from pydantic import Field

from noisegate.documents import Document
from noisegate.errors import FieldError, InvalidSpec
from noisegate.spec import (
    ClassifierExperiment,
    CurveFittingExperiment,
    DecisionMapExperiment,
    ExperimentSpec,
    HybridsExperiment,
)


class Caps(Document):
    """The most that one experiment may ask for; a server's settings override the defaults."""

    epochs: int = Field(500, ge=1)
    executions: int = Field(100, ge=1)
    cells: int = Field(100, ge=1)
    image_size: int = Field(224, ge=8)
    quantity: float = Field(100, ge=0, description="Of all kinds of noise in a cell together.")
    batch_pixels: int = Field(2**24, ge=1, description="Pixels of one batch: training.batch_size × image_size².")
    training_bytes: int = Field(4 * 2**30, ge=1, description="Training images of one cell, noise included, as uint8.")
    hybrid_pairs: int = Field(10_000, ge=1, description="Hybrids that one execution of kind `hybrids` makes.")
    points: int = Field(200_000, ge=10, description="Training points of one curve fitting or decision map.")


def check_caps(spec: ExperimentSpec, caps: Caps) -> None:
    """Refuse a spec that asks for more than `caps`. The sweep is counted before it is built.

    Raises:
        InvalidSpec: with one entry a field over its cap.
    """
    errors = [
        FieldError(field, f"is {value:g}; this server allows {cap:g}", f"Ask for at most {cap:g}.")
        for field, value, cap in _asked(spec, caps)
        if value > cap
    ]
    if spec.count_cells() > caps.cells:
        message = f"stands for {spec.count_cells()} cells; this server allows {caps.cells}"
        errors.append(FieldError("sweep", message, "Sweep fewer values, or post several experiments."))
    if errors:
        raise InvalidSpec(errors)


def check_training_bytes(
    spec: ClassifierExperiment, caps: Caps, *, training_images: int, mean_class_size: float
) -> None:
    """Refuse a cell whose training images would not fit.

    Raises:
        InvalidSpec: naming `noise.quantity`, with the largest quantity that fits.
    """
    bytes_an_image = 3 * spec.image_size**2
    wanted = (training_images + spec.count_noise_images(mean_class_size)) * bytes_an_image
    if wanted <= caps.training_bytes:
        return
    if training_images * bytes_an_image > caps.training_bytes:
        message = f"needs {training_images * bytes_an_image:,} bytes without any noise; this server allows {caps.training_bytes:,}"
        raise InvalidSpec([FieldError("dataset", message, "Use fewer images, or pack them at a smaller image_size.")])
    room = (caps.training_bytes / bytes_an_image - training_images) / mean_class_size
    largest = math.floor(max(0.0, room) * 100) / 100
    message = f"makes {wanted:,} bytes of training images a cell; this server allows {caps.training_bytes:,}"
    raise InvalidSpec([FieldError("noise.quantity", message, f"At most {largest:g} fits with this dataset.")])


def _asked(spec: ExperimentSpec, caps: Caps) -> Iterator[tuple[str, float, float]]:
    yield "executions", spec.executions, caps.executions
    match spec:
        case ClassifierExperiment():
            yield "training.epochs", spec.training.epochs, caps.epochs
            yield "image_size", spec.image_size, caps.image_size
            yield "noise.quantity", sum(noise.quantity for noise in spec.noises), caps.quantity
            yield "training.batch_size", spec.training.batch_size, caps.batch_pixels // spec.image_size**2
            if isinstance(spec, HybridsExperiment):
                yield "hybrids.pairs", spec.hybrids.pairs, caps.hybrid_pairs
        case CurveFittingExperiment():
            yield "samples", spec.samples, caps.points
        case DecisionMapExperiment():
            yield "points_per_cluster", spec.points_per_cluster, caps.points // (spec.clusters + spec.noise_quantity)
            yield "epochs", spec.epochs, caps.epochs
