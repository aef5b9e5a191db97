"""Pictures of a dataset at the size of a contact sheet: from the originals; as they were packed where those are small or gone."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from noisegate.data.limits import image_limits
from noisegate.data.originals import Originals
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.spec.derived import Fitting
from noisegate.store.artefacts import Artefacts
from noisegate.store.packed import fetch_originals, open_packed
from noisegate.store.settings import Settings
from noisegate.store.tables import Dataset
from service.samples.sheet import TILE

_WHOLE = Fitting(resize="pad", decoding="scaled")
# Pixels a side up to which single pixels are shown rather than smoothed over.
_SMALL = 48


def pictures(
    artefacts: Artefacts, settings: Settings, dataset: Dataset, places: Sequence[int]
) -> list[npt.NDArray[np.uint8]]:
    """Pictures by their places among all images, training images first; uint8 [96, 96, 3] each."""
    packed = open_packed(artefacts, dataset)
    if dataset.originals_digest is None or (dataset.longer_side or 0) <= _SMALL:
        return [_enlarged(packed.images[place]) for place in places]
    files = fetch_originals(artefacts, dataset)
    originals, limits = Originals(files.content, files.index, files.shared), image_limits(settings)
    return [_of_original(originals.read(place), limits) for place in places]


def _of_original(file: bytes, limits: ImageLimits) -> npt.NDArray[np.uint8]:
    return decode_image(file, TILE, limits, _WHOLE)


def _enlarged(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    small = len(pixels) <= _SMALL
    how = Image.Resampling.NEAREST if small else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize((TILE, TILE), how), np.uint8)
