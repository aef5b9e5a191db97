"""From two image files to the hybrid and three decisions: all that takes a processor, and nothing that waits."""

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from noisegate.errors import InvalidImage, TooLarge
from noisegate.evaluation.hybrids import hybrid
from noisegate.inference.classifier import Classifier
from noisegate.inference.decoding import ImageLimits, decode_with_size
from noisegate.manifest import ModelManifest
from noisegate.spec import HybridCutoffs
from service.hybrids.schemas import Mixed

Size = tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """Two image files, and how to mix them."""

    low: bytes
    high: bytes
    cutoffs: HybridCutoffs


def mix(classifier: Classifier, pair: Pair, max_false_reject: float | None, limits: ImageLimits) -> Mixed:
    """Decode both images to the model's image size, mix them, and classify all three.

    Raises:
        InvalidInput: the model's holdout cannot promise `max_false_reject`.
        InvalidImage, TooLarge: as decode_image, naming `low` or `high`.
    """
    manifest = classifier.manifest
    low, low_size = _decoded("low", pair.low, manifest, limits)
    high, high_size = _decoded("high", pair.high, manifest, limits)
    mixed = hybrid(low, high, pair.cutoffs.low_cutoff, pair.cutoffs.high_cutoff)
    of_mixed, of_low, of_high = classifier.classify(np.stack([mixed, low, high]), max_false_reject)
    notes = notes_on_sizes(low_size, high_size, manifest.image_size)
    return Mixed(image=_png_base64(mixed), hybrid=of_mixed, low=of_low, high=of_high, notes=notes)


def notes_on_sizes(low: Size, high: Size, image_size: int) -> list[str]:
    """What to tell about images, (width, height) each, of which one or both had to be resized."""
    resized = [name for name, found in (("low", low), ("high", high)) if found != (image_size, image_size)]
    if not resized:
        return []
    who = "both were" if len(resized) == 2 else f"{resized[0]} was"
    sizes = f"low was {low[0]}×{low[1]} and high {high[0]}×{high[1]}"
    return [f"{sizes}; {who} resized to the model's {image_size}×{image_size}"]


def _decoded(
    field: str, data: bytes, manifest: ModelManifest, limits: ImageLimits
) -> tuple[npt.NDArray[np.uint8], Size]:
    try:
        return decode_with_size(data, manifest.image_size, limits, manifest.fitting)
    except (InvalidImage, TooLarge) as error:
        raise type(error)(f"{field}: {error.detail}", field=field, remedy=error.remedy) from error


def _png_base64(pixels: npt.NDArray[np.uint8]) -> str:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
