"""The same by other means: what a page shows as commands and as Python, to be copied."""

import json
import shlex
from typing import Any

from starlette.requests import Request


def address_of(request: Request) -> str:
    """The address under which this page was asked for, without a path; with the root path, if there is one."""
    return str(request.base_url).rstrip("/")


def key_header(needed: bool) -> str:
    """The part of a curl command that shows a key, where keys are needed."""
    return '-H "Authorization: Bearer $NOISEGATE_API_KEY" ' if needed else ""


def experiment_as_curl(address: str, spec: dict[str, Any], *, keys: bool) -> str:
    """A command that posts this spec."""
    document = json.dumps(spec, ensure_ascii=False, indent=2)
    return (
        f"curl -s {key_header(keys)}-H 'Content-Type: application/json' {shlex.quote(address + '/experiments')} --data-binary @- "
        f"<<'JSON'\n{document}\nJSON"
    )


def experiment_as_python(address: str, spec: dict[str, Any]) -> str:
    """The same with the client."""
    return (
        "import json\n\n"
        "from noisegate.client import Noisegate\n\n"
        f"spec = json.loads({json.dumps(spec, ensure_ascii=False)!r})\n"
        f"with Noisegate({address!r}) as client:\n"
        "    experiment = client.experiments.wait(client.experiments.create(spec).id)\n"
        "    print(client.experiments.results_csv(experiment.id))\n"
    )


def model_as_curl(address: str, model_id: str, *, keys: bool) -> str:
    """A command that classifies one image by this model."""
    url = shlex.quote(f"{address}/classify?model={model_id}")
    return f"curl -s {key_header(keys)}-H 'Content-Type: image/jpeg' --data-binary @image.jpg {url}"


def model_as_python(address: str, model_id: str) -> str:
    """The same with the client."""
    return (
        "from noisegate.client import Noisegate\n\n"
        f"with Noisegate({address!r}) as client:\n"
        f"    answer = client.models.classify('image.jpg', model={model_id!r})\n"
        "    print(answer.label, answer.rejected, answer.reason)\n"
    )


def model_without_service() -> str:
    """The same decision from the model's files alone, on a machine without a service and without PyTorch."""
    return """# pip install "noisegate[inference]", and the three files above
from pathlib import Path

from noisegate.inference.classifier import Classifier
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.manifest import ModelManifest
from noisegate.rejection.reference import Reference

manifest = ModelManifest.model_validate_json(Path("model.json").read_bytes())
file = Path("reference.safetensors")
reference = Reference.from_bytes(file.read_bytes()) if file.exists() else None
classifier = Classifier(Path("model.onnx"), manifest, reference)
pixels = decode_image(Path("image.jpg").read_bytes(), manifest.image_size, ImageLimits(), manifest.fitting)
(decision,) = classifier.classify(pixels[None], rule=manifest.rule)
print(decision.label, decision.rejected, decision.reason)
"""
