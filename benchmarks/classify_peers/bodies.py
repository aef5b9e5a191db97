"""What is sent: JPEG files, raw and as forms, and the label that the model gives each."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from classify_peers.onnx_model import OnnxModel

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

    @property
    def mean_bytes(self) -> int:
        """Of a file."""
        sizes = [file.stat().st_size for file in self.kind(None)[0].iterdir()]
        return sum(sizes) // len(sizes)


def write_bodies(folder: Path, model: OnnxModel, images: Sequence[Image.Image], fields: set[str]) -> Bodies:
    """Write every body that a server is sent."""
    files = [_jpeg(image) for image in images]
    bodies = Bodies(folder, [str(model.answers(model.decode(data)[np.newaxis])[0]["label"]) for data in files])
    # All alike would be answered rightly by a server that does not look.
    assert len(set(bodies.labels)) >= 3, bodies.labels
    for field in [None, *fields]:
        target, _ = bodies.kind(field)
        target.mkdir(parents=True)
        for number, data in enumerate(files):
            (target / f"{number:02}").write_bytes(data if field is None else _form(data, field))
    return bodies


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _form(data: bytes, field: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="image.jpg"\r\n'
    return f"{head}Content-Type: {JPEG}\r\n\r\n".encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
