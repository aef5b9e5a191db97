"""What the protocol reads and answers; its field names. Other members are let pass, as it asks; other parameters are refused."""

from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from noisegate.documents import wrong_field
from noisegate.image_kinds import IMAGE_KINDS
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT

Name = Annotated[str, Path(min_length=1, max_length=200, description="Id or alias of a model.", examples=["default"])]
Version = Annotated[str, Path(min_length=1, max_length=200, description="SHA-256 of the model.onnx.")]

# Beside the model's fields, `model_…` is the protocol's.
_NAMES = ConfigDict(protected_namespaces=())
_ELEMENTS: dict[str, Any] = {"type": ["number", "string", "boolean"]}

# What a tensor's elements are.
Datatype = Literal["UINT8", "FP32", "FP64", "BOOL", "BYTES"]


class ServerMetadata(BaseModel):
    name: str = "noisegate"
    version: str
    extensions: list[str] = Field(
        ["binary_tensor_data", "classification", "model_configuration", "statistics"],
        description="What there is of Triton's besides the protocol itself.",
    )


class ServerLive(BaseModel):
    live: bool = True


class ServerReady(ServerLive):
    """The protocol's text names the field `live`, its implementations `ready`: both are here."""

    ready: bool = Field(description="As decided by /readyz, which also says what is missing.")


class ModelReady(BaseModel):
    name: str
    ready: bool = Field(description="Whether the model is in memory and has answered once.")
    error: str | None = Field(None, description="Why not; missing if it is ready.")


class TensorMetadata(BaseModel):
    name: str
    datatype: Datatype
    shape: list[int] = Field(description="−1 is a dimension that varies, or that only an answer shows.")
    parameters: dict[str, str] = Field(
        {},
        description="`classes` or `outputs`: the names of the columns, a JSON array in a text, as parameters are no arrays. "
        "`also`: another datatype that is read. `higher_means`: what a higher score says of an image, known or unknown.",
    )


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str = Field(description="The name it was asked for by.")
    versions: list[str] = Field(description="The one that answers: SHA-256 of the model.onnx.")
    platform: str = Field(examples=["onnxruntime_onnx"])
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata] = Field(description="`logits` and `features` are given only when asked for by name.")


class RepositoryModel(BaseModel):
    """A name that models are asked for by."""

    name: str = Field(description="An alias, or the id of a model.")
    version: str = Field(description="SHA-256 of the model.onnx.")
    state: Literal["READY"] = "READY"
    reason: str = ""


class IndexRequest(BaseModel):
    """Nothing has to be sent."""

    model_config = ConfigDict(extra="forbid")

    ready: bool = Field(False, description="Only those that are ready, which all are.")


class Strict(BaseModel):
    """Nothing is converted: true is no number, and "5" neither."""

    model_config = ConfigDict(strict=True)


class Parameters(Strict):
    """Parameters of one place. One that is not there is refused by name: misspelt, it would not be honoured.

    Attributes:
        unheeded: those that clients send by themselves, and that change nothing here.
    """

    unheeded: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, given: Any) -> Any:
        known = {*cls.model_fields, *cls.unheeded}
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                near = get_close_matches(name, known, n=1)
                # Clients of the protocol show the message alone.
                message = f"is no parameter here; there are: {', '.join(sorted(known))}"
                raise wrong_field(name, given[name], message, f"Did you mean {near[0]}?" if near else "Leave it out.")
        return given


class InferParameters(Parameters):
    """What applies to the whole request."""

    # tritonclient's, and MLServer's clients' last one.
    unheeded = frozenset({"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "content_type"})

    binary_data_output: bool = Field(
        False, description="Whether outputs are binary for which `outputs` does not say so itself."
    )
    max_false_reject: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Largest share of known images rejected wrongly, noise on top included; "
        f"without it {DEFAULT_MAX_FALSE_REJECT:g}, or the smallest that the model can promise, if that is larger.",
    )


class InputParameters(Parameters):
    """What is said of one input."""

    unheeded = frozenset({"content_type"})

    binary_data_size: int | None = Field(
        None, ge=0, description="Bytes of this tensor behind the JSON, in place of `data`."
    )


class InputTensor(Strict):
    """Images, as pixels or as files."""

    name: str = Field(json_schema_extra={"enum": ["images"]})
    shape: list[Annotated[int, Field(ge=1, lt=2**63)]] = Field(
        min_length=1,
        max_length=4,
        description="[n, size, size, 3] of UINT8, size being the model's; [n] or [n, 1] of BYTES.",
    )
    datatype: str = Field(json_schema_extra={"enum": ["UINT8", "BYTES"]})
    parameters: InputParameters | None = None
    data: list[Any] | None = Field(
        None,
        description="UINT8: whole numbers 0 … 255, RGB, in row-major order, flat or nested. BYTES: each image a "
        f"{IMAGE_KINDS} file of any size, in base64 without line breaks. Left out where the tensor is binary.",
    )


class OutputParameters(Parameters):
    """What is asked of one output."""

    binary_data: bool | None = Field(None, description="Whether it is binary; without it as `binary_data_output` says.")
    classification: int | None = Field(
        None,
        ge=1,
        description="Only so many columns of `probabilities` or `logits`, in falling order, as texts `value:index:name`.",
    )


class RequestedOutput(Strict):
    name: str = Field(max_length=200)
    parameters: OutputParameters | None = None


class InferRequest(Strict):
    id: str | None = Field(None, description="Comes back in the answer.")
    parameters: InferParameters | None = None
    inputs: list[InputTensor] = Field(
        max_length=16, description="One tensor.", json_schema_extra={"minItems": 1, "maxItems": 1}
    )
    outputs: list[RequestedOutput] | None = Field(
        None,
        max_length=16,
        description="Which outputs to answer; without it, or empty, all but `logits` and `features`.",
    )


class OutputTensorParameters(BaseModel):
    binary_data_size: int = Field(description="Bytes of this tensor behind the JSON.")


class OutputTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: Datatype
    parameters: OutputTensorParameters | None = Field(None, description="There if it is binary.")
    data: list[Any] | None = Field(
        None, description="Flat, in row-major order; missing if it is binary.", json_schema_extra={"items": _ELEMENTS}
    )


class InferredParameters(BaseModel):
    """What the decisions rest on."""

    model: str = Field(description="The model's id.")
    max_false_reject: float
    threshold: float | None = Field(
        None, description="Reject scores above it are rejected; missing without a calibration."
    )


class InferResponse(BaseModel):
    """What a model makes of the images: each output has a row for each, in their order."""

    model_config = _NAMES

    model_name: str = Field(description="The name it was asked for by.")
    model_version: str = Field(description="SHA-256 of the model.onnx that answered.")
    id: str | None = Field(None, description="The request's; missing if it had none.")
    parameters: InferredParameters
    outputs: list[OutputTensor]
