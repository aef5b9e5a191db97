"""How photographs become squares: what interpolation and crop do to accuracy, and scaled decoding of JPEGs to pixels and time.

    python benchmarks/photograph_pixels.py --archive flowers.tar [--splits 20]

The archive is a tar of <class>/<file>, JPEGs of 128 × 128, of which the first 300 of each class are taken. Accuracy is that of a
linear layer on features of `tf_efficientnet_lite0`, 80 images a class to train on, all others to test on. As the photographs are
small, scaled decoding is seen at squares of 32 pixels, decoded to 64. What it does to large JPEGs is measured on photographs of
scikit-learn at smaller squares, and on thumbnails side by side, which have detail everywhere.
"""

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from photograph_heads import Files, Layer, features_by, first_files, session_of, split, summary
from PIL import Image
from record import keep
from sklearn.datasets import load_sample_images

from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.inference.fitting import scale_factor
from noisegate.learning.encoding import make_encoder
from noisegate.networks.backbones import EMBEDDED, backbone_of
from noisegate.networks.backbones.loading import load
from noisegate.spec.derived import Fitting

_A_CLASS, _TRAINED_ON = 300, 80
_SMALL = 32
_LIMITS = ImageLimits(max_bytes=2**26)
_FULL, _SCALED = Fitting(), Fitting(decoding="scaled")
_SQUARES = {
    "bilinear, all of it": _FULL,
    "bicubic, all of it": Fitting(interpolation="bicubic"),
    "bilinear, the middle 0.875": Fitting("crop", crop_share=0.875),
    "bicubic, the middle 0.875": Fitting("crop", "bicubic", 0.875),
}
_THUMBNAIL = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=20)
    asked = parser.parse_args()
    files = first_files(asked.archive, _A_CLASS)
    size = backbone_of(EMBEDDED).image_size
    decodings = {"full": _FULL, "scaled": _SCALED}
    figures = {
        "splits": asked.splits,
        "accuracy_of_squares": accuracies(files, size, _SQUARES, asked.splits),
        "accuracy_of_decoding": accuracies(files, _SMALL, decodings, asked.splits),
        "pixels": {name: differences(images, side) for name, images, side in large_jpegs(files)},
    }
    for name in ("accuracy_of_squares", "accuracy_of_decoding", "pixels"):
        print(name, *(f"  {row}: {found}" for row, found in figures[name].items()), sep="\n")
    print(f"Kept in {keep('photograph_pixels', figures)}")


def accuracies(files: Files, size: int, arms: dict[str, Fitting], splits: int) -> dict[str, Any]:
    """Test accuracies by arm, compared with the first, split by split."""
    session = session_of(make_encoder(load(backbone_of(EMBEDDED), None, None), size).graph)
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    for arm, fitting in arms.items():
        features = features_by(session, [decode_image(one, size, _LIMITS, fitting) for one in files.content])
        for seed in range(splits):
            train, test = split(files.labels, np.unique(files.labels).tolist(), _TRAINED_ON, seed)
            layer = Layer(features[train], files.labels[train])
            found[arm].append(layer.accuracy(features[test], files.labels[test]))
    return summary(found, next(iter(arms)))


def large_jpegs(files: Files) -> list[tuple[str, list[bytes], int]]:
    """Name, JPEGs and the side of the square."""
    photographs = [_jpeg(Image.fromarray(pixels)) for pixels in load_sample_images().images]
    mosaics = {size: [_jpeg(_mosaic(files, size, at)) for at in (0, 400)] for size in ((1280, 960), (4096, 3072))}
    return [
        ("two photographs of 640 × 427 at 100 px", photographs, 100),
        ("two photographs of 640 × 427 at 50 px", photographs, 50),
        *((f"thumbnails of {width} × {height} at 224 px", made, 224) for (width, height), made in mosaics.items()),
    ]


def differences(images: Sequence[bytes], side: int) -> dict[str, float]:
    """Levels of 0 … 255 by which scaled decoding differs from full, and milliseconds of a core that each takes."""
    pairs = [[decode_image(one, side, _LIMITS, how).astype(int) for how in (_FULL, _SCALED)] for one in images]
    levels = np.stack([np.abs(scaled - full) for full, scaled in pairs])
    width, height = Image.open(io.BytesIO(images[0])).size
    return {
        "factor": scale_factor(width, height, side, _SCALED),
        "mean": round(float(levels.mean()), 2),
        "largest": int(levels.max()),
        "full_ms": _milliseconds(lambda: [decode_image(one, side, _LIMITS, _FULL) for one in images], len(images)),
        "scaled_ms": _milliseconds(lambda: [decode_image(one, side, _LIMITS, _SCALED) for one in images], len(images)),
    }


def _milliseconds(work: Callable[[], list[npt.NDArray[np.uint8]]], images: int, times: int = 5) -> float:
    work()
    started = time.process_time()
    for _ in range(times):
        work()
    return round(1000 * (time.process_time() - started) / times / images, 1)


def _mosaic(files: Files, size: tuple[int, int], start: int) -> Image.Image:
    made = Image.new("RGB", size)
    places = [(left, top) for top in range(0, size[1], _THUMBNAIL) for left in range(0, size[0], _THUMBNAIL)]
    for number, place in enumerate(places, start):
        made.paste(Image.open(io.BytesIO(files.content[number % len(files.content)])), place)
    return made


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    main()
