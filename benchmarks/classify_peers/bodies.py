"""What is sent: JPEG files of 32 × 32 pixels, raw and as forms, and the label that the model gives each."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

from classify_peers.onnx_model import OnnxModel

COUNT = 64
SIZE = 32
QUALITY = 90
BOUNDARY = "noisegate-classify"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JPEG = "image/jpeg"


@dataclass(frozen=True)
class Bodies:
    """Files in `folder`/raw and, for each field name, in `folder`/form-NAME; `labels` are the model's for each."""

    folder: Path
    labels: list[str]

    def kind(self, field: str | None) -> tuple[Path, str]:
        """Where the bodies for this form field lie (raw without one), and their content type."""
        return (self.folder / "raw", JPEG) if field is None else (self.folder / f"form-{field}", FORM)


def write_bodies(folder: Path, model: OnnxModel, fields: set[str]) -> Bodies:
    """Write every body that a server is sent; the same files each time."""
    files = [_jpeg(pixels) for pixels in _images()]
    bodies = Bodies(folder, [str(model.answers(model.decode(data)[np.newaxis])[0]["label"]) for data in files])
    # All alike would be answered rightly by a server that does not look.
    assert len(set(bodies.labels)) >= 3, bodies.labels
    for field in [None, *fields]:
        target, _ = bodies.kind(field)
        target.mkdir(parents=True)
        for number, data in enumerate(files):
            (target / f"{number:02}").write_bytes(data if field is None else _form(data, field))
    return bodies


def _images() -> list[npt.NDArray[np.uint8]]:
    """Scans of digits and smooth fields of colour in turn: what the model knows, and what it does not."""
    generator = np.random.default_rng(0)
    scans = np.rint(load_digits().images[: COUNT // 2] * (255 / 16)).astype(np.uint8)
    fields = generator.integers(0, 256, (COUNT // 2, 5, 5, 3), dtype=np.uint8)
    pairs = zip(scans, fields, strict=True)
    return [_enlarged(pixels) for pair in pairs for pixels in pair]


def _enlarged(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    image = Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(image.convert("RGB"))


def _jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _form(data: bytes, field: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="image.jpg"\r\n'
    return f"{head}Content-Type: {JPEG}\r\n\r\n".encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
