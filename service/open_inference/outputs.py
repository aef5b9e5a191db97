"""A model's inputs and outputs as tensors."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from noisegate.errors import InvalidInput
from noisegate.image_kinds import IMAGE_KINDS
from noisegate.inference.classifier import Classifier
from noisegate.manifest import ModelManifest
from service.classify.batching import Answered
from service.errors import ModelUnusable
from service.open_inference.reading import FILES, IMAGES, PIXELS
from service.open_inference.schemas import Datatype, OutputTensor, RequestedOutput, TensorMetadata

_ALSO_FILES = f"{FILES} of shape [n]: {IMAGE_KINDS} files of any size in base64, resized here"


@dataclass(frozen=True)
class Output:
    """One output: its shape without the rows (−1 where only an answer shows it), and the elements of one row."""

    datatype: Datatype
    shape: tuple[int, ...]
    elements: Callable[[Answered], Sequence[Any]]
    columns: Mapping[str, Sequence[str]]
    about: Mapping[str, str] = field(default_factory=dict)
    by_default: bool = True


def input_metadata(manifest: ModelManifest) -> TensorMetadata:
    """The one input."""
    size = manifest.image_size
    return TensorMetadata(name=IMAGES, datatype=PIXELS, shape=[-1, size, size, 3], parameters={"also": _ALSO_FILES})


def output_metadata(name: str, output: Output) -> TensorMetadata:
    """An output; the names of its columns stand in a parameter, as JSON, and what else there is to say in others."""
    named = {kind: json.dumps(list(names), ensure_ascii=False) for kind, names in output.columns.items()}
    return TensorMetadata(
        name=name, datatype=output.datatype, shape=[-1, *output.shape], parameters=named | dict(output.about)
    )


def outputs_of(manifest: ModelManifest) -> dict[str, Output]:
    """All outputs of a model, by name, in the order in which they are answered."""
    classes, outputs = manifest.classes, manifest.outputs
    found = {
        "probabilities": Output(
            "FP64", (len(classes),), lambda row: list(row.decision["probabilities"].values()), {"classes": classes}
        ),
        "noise_probability": Output("FP64", (), lambda row: [row.decision["noise_probability"]], {}),
        "reject_score": Output(
            "FP64", (), lambda row: [row.decision["reject_score"]], {}, about={"higher_means": "unknown"}
        ),
        "rejected": Output("BOOL", (), lambda row: [row.decision["rejected"]], {}),
        "label": Output("BYTES", (), lambda row: [row.decision["label"]], {}),
        "logits": Output(
            "FP32", (len(outputs),), lambda row: row.logits.tolist(), {"outputs": outputs}, by_default=False
        ),
        "features": Output("FP32", (-1,), _features, {}, by_default=False),
    }
    if not manifest.has_noise_class:
        del found["noise_probability"]
    return found


def chosen(outputs: Mapping[str, Output], requested: Sequence[RequestedOutput]) -> dict[str, Output]:
    """The outputs that are asked for, once each; those by default if none is.

    Raises:
        InvalidInput: one that the model has not.
    """
    for place, wanted in enumerate(requested):
        if wanted.name not in outputs:
            raise InvalidInput(
                f"this model has no output {wanted.name!r}",
                field=f"outputs.{place}.name",
                remedy=f"There are {', '.join(outputs)}.",
            )
    names = [wanted.name for wanted in requested] or [name for name, output in outputs.items() if output.by_default]
    return {name: outputs[name] for name in names}


def check_values(outputs: Mapping[str, Output], classifier: Classifier, rows: int, most: int) -> None:
    """Raise InvalidInput if the rows of these outputs have more numbers than that: the answer is written in one piece."""
    widths = [math.prod(classifier.width if size < 0 else size for size in output.shape) for output in outputs.values()]
    if rows * sum(widths) > most:
        raise InvalidInput(
            f"the answer would have {rows * sum(widths):,} numbers; at most {most:,} are given at once",
            field="outputs",
            remedy="Ask for fewer images at once, or for fewer outputs.",
        )


def tensor_of(name: str, output: Output, rows: Sequence[Answered]) -> OutputTensor:
    """An output of all rows."""
    data = [element for row in rows for element in output.elements(row)]
    known = [len(rows), *(size for size in output.shape if size > 0)]
    shape = [*known, len(data) // math.prod(known)] if -1 in output.shape else known
    return OutputTensor.model_construct(name=name, shape=shape, datatype=output.datatype, data=data)


def _features(row: Answered) -> Sequence[float]:
    if not np.isfinite(row.features).all():
        raise ModelUnusable("the model gives features that are not finite", field="model")
    features: Sequence[float] = row.features.tolist()
    return features
