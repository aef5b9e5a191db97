"""The model configuration extension: what perf_analyzer and Triton's clients ask before they send anything."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from noisegate.store.settings import Settings
from service.classify.models import Loaded
from service.open_inference.outputs import Output, outputs_of
from service.open_inference.reading import IMAGES, PIXELS

_TYPES = {datatype: f"TYPE_{datatype}" for datatype in ("UINT8", "FP32", "FP64", "BOOL")} | {"BYTES": "TYPE_STRING"}


class Reshape(BaseModel):
    shape: list[int]


class ConfiguredTensor(BaseModel):
    """A tensor of one image."""

    name: str
    data_type: Literal["TYPE_UINT8", "TYPE_FP32", "TYPE_FP64", "TYPE_BOOL", "TYPE_STRING"]
    dims: list[int] = Field(description="Without the images; −1 is a dimension that only an answer shows.")
    reshape: Reshape | None = Field(None, description="For one number an image, as `dims` may not be empty.")


class ModelConfiguration(BaseModel):
    """As much of Triton's model configuration as there is here to say."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="Images of one request.")
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]


def configuration_of(loaded: Loaded, name: str, settings: Settings) -> ModelConfiguration:
    """A loaded model, under the name it was asked for by."""
    size = loaded.classifier.manifest.image_size
    images = ConfiguredTensor.model_validate({"name": IMAGES, "data_type": _TYPES[PIXELS], "dims": [size, size, 3]})
    outputs = outputs_of(loaded.classifier.manifest)
    return ModelConfiguration(
        name=name,
        platform=f"{settings.runtime}_onnx",
        backend=settings.runtime,
        max_batch_size=settings.max_batch_images,
        input=[images],
        output=[_configured(name, output) for name, output in outputs.items()],
    )


def _configured(name: str, output: Output) -> ConfiguredTensor:
    reshape = None if output.shape else Reshape(shape=[])
    dims = list(output.shape) or [1]
    described = {"name": name, "data_type": _TYPES[output.datatype], "dims": dims, "reshape": reshape}
    return ConfiguredTensor.model_validate(described)
