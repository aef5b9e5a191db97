"""A model's inputs and outputs as tensors."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from noisegate.errors import InvalidInput
from noisegate.image_kinds import IMAGE_KINDS
from noisegate.inference.classifier import Classifier
from noisegate.manifest import ModelManifest
from service.classify.batching import Answered
from service.errors import ModelUnusable
from service.open_inference.reading import FILES, IMAGES, PIXELS
from service.open_inference.schemas import (
    Datatype,
    OutputParameters,
    OutputTensor,
    OutputTensorParameters,
    RequestedOutput,
    TensorMetadata,
)

_ALSO_FILES = f"{FILES} of shape [n] or [n, 1]: {IMAGE_KINDS} files of any size, resized here; in JSON in base64"
_TYPES: dict[Datatype, str] = {"FP64": "<f8", "FP32": "<f4", "BOOL": "?"}


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
        "probabilities": Output("FP64", (len(classes),), lambda row: row.brief["probabilities"], {"classes": classes}),
        "noise_probability": Output("FP64", (), lambda row: [row.brief["noise_probability"]], {}),
        "reject_score": Output(
            "FP64", (), lambda row: [row.brief["reject_score"]], {}, about={"higher_means": "unknown"}
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


def chosen(
    outputs: Mapping[str, Output], requested: Sequence[RequestedOutput], *, binary: bool
) -> dict[str, OutputParameters]:
    """What is asked of which outputs; those by default if none is named. `binary` holds where an output does not say.

    Raises:
        InvalidInput: one that the model has not, or that is asked for in two ways, or for the largest of columns without names.
    """
    found: dict[str, OutputParameters] = {}
    by_default = [RequestedOutput(name=name) for name, output in outputs.items() if output.by_default]
    for place, wanted in enumerate(requested or by_default):
        if wanted.name not in outputs:
            raise InvalidInput(
                f"this model has no output {wanted.name!r}",
                field=f"outputs.{place}.name",
                remedy=f"There are {', '.join(outputs)}.",
            )
        asked = wanted.parameters or OutputParameters()
        if asked.classification and not outputs[wanted.name].columns:
            raise InvalidInput(
                f"{wanted.name!r} has no columns whose largest could be named",
                field=f"outputs.{place}.parameters.classification",
                remedy="Ask for it with `probabilities` or `logits`.",
            )
        if asked.binary_data is None:
            asked = asked.model_copy(update={"binary_data": binary})
        if found.setdefault(wanted.name, asked) != asked:
            detail = f"the output {wanted.name!r} is asked for in two ways"
            raise InvalidInput(detail, field=f"outputs.{place}.parameters", remedy="Ask for it once.")
    return found


def largest(output: Output, count: int) -> Output:
    """The classification extension: of each row the largest columns, as texts `value:index:name`."""
    (names,) = output.columns.values()

    def texts(row: Answered) -> Sequence[str]:
        values = output.elements(row)
        order = sorted(range(len(values)), key=lambda column: -values[column])[:count]
        return [f"{values[column]!r}:{column}:{names[column]}" for column in order]

    return replace(output, datatype="BYTES", shape=(min(count, len(names)),), elements=texts, columns={})


def check_values(outputs: Iterable[Output], classifier: Classifier, rows: int, most: int) -> None:
    """Raise InvalidInput if the rows of these outputs have more numbers than that: the answer is written in one piece."""
    widths = [math.prod(classifier.width if size < 0 else size for size in output.shape) for output in outputs]
    if rows * sum(widths) > most:
        raise InvalidInput(
            f"the answer would have {rows * sum(widths):,} numbers; at most {most:,} are given at once",
            field="outputs",
            remedy="Ask for fewer images at once, or for fewer outputs.",
        )


def tensor_of(name: str, output: Output, rows: Sequence[Answered], *, binary: bool) -> tuple[OutputTensor, bytes]:
    """An output of all rows, and what of it lies behind the JSON."""
    data = [element for row in rows for element in output.elements(row)]
    known = [len(rows), *(size for size in output.shape if size > 0)]
    shape = [*known, len(data) // math.prod(known)] if -1 in output.shape else known
    if not binary:
        return OutputTensor.model_construct(name=name, shape=shape, datatype=output.datatype, data=data), b""
    packed = _packed(output.datatype, data)
    size = OutputTensorParameters(binary_data_size=len(packed))
    return OutputTensor.model_construct(name=name, shape=shape, datatype=output.datatype, parameters=size), packed


def _packed(datatype: Datatype, data: Sequence[Any]) -> bytes:
    """The elements as the binary tensor extension has them: the lowest byte first, texts behind their lengths."""
    if datatype in _TYPES:
        return np.array(data, _TYPES[datatype]).tobytes()
    texts = [str(text).encode() for text in data]
    return b"".join(part for text in texts for part in (len(text).to_bytes(4, "little"), text))


def _features(row: Answered) -> Sequence[float]:
    if not np.isfinite(row.features).all():
        raise ModelUnusable("the model gives features that are not finite", field="model")
    features: Sequence[float] = row.features.tolist()
    return features
