"""From a request's body to images. Shapes are checked before an array is made; the body's limit bounds what stands before."""

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from noisegate.errors import InvalidImage, InvalidInput
from noisegate.image_kinds import IMAGE_KINDS
from service.bodies import parse_json
from service.classify.images import from_base64, not_empty
from service.open_inference.bodies import HEADER_LENGTH, SentBody
from service.open_inference.schemas import InferParameters, InferRequest, InputParameters, InputTensor

IMAGES = "images"
PIXELS = "UINT8"
FILES = "BYTES"

_INPUT = "inputs.0"
_DATA = f"{_INPUT}.data"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tensors:
    """A request, and its images: pixels [n, size, size, 3], or n files."""

    document: InferRequest
    images: Pixels | Sequence[bytes]


def field_of(row: int) -> str:
    """The path of one image file."""
    return f"{_DATA}.{row}"


def read(body: SentBody, image_size: int, most: int) -> Tensors:
    """What a body asks for.

    Args:
        image_size: pixels a side of the model's images.
        most: images that one request may have.

    Raises:
        RequestValidationError: no JSON, or fields that are missing or wrong.
        InvalidInput: a tensor that this model does not take.
    """
    raw = body.binary if not body.document else None
    document = parse_json(body.document, InferRequest) if raw is None else _raw(raw, image_size)
    sent = _only_input(document)
    if sent.datatype == PIXELS:
        _check_shape(sent, [[image_size, image_size, 3]], most)
        elements = _elements(sent, body.binary)
        return Tensors(document, _pixels(sent, elements))
    if sent.datatype == FILES:
        _check_shape(sent, [[], [1]], most)
        elements = _elements(sent, body.binary)
        return Tensors(document, _binary_files(sent, elements) if isinstance(elements, bytes) else _files(elements))
    raise InvalidInput(
        f"the datatype {reprlib.repr(sent.datatype)} is not read here",
        field=f"{_INPUT}.datatype",
        remedy=f"Send pixels as {PIXELS}, or image files as {FILES}.",
    )


def _raw(binary: bytes, image_size: int) -> InferRequest:
    """The request that a body without JSON stands for: pixels, and all outputs in binary."""
    size = len(binary)
    count, left = divmod(size, 3 * image_size**2)
    if left or not count:
        raise InvalidInput(
            f"the body without JSON has {size:,} bytes, and images here have {3 * image_size**2:,}",
            field=_INPUT,
            remedy=f"Send the pixels of [n, {image_size}, {image_size}, 3] {PIXELS}, or JSON before the tensor.",
        )
    tensor = InputTensor(
        name=IMAGES,
        datatype=PIXELS,
        shape=[count, image_size, image_size, 3],
        parameters=InputParameters(binary_data_size=size),
    )
    return InferRequest(inputs=[tensor], parameters=InferParameters(binary_data_output=True))


def _elements(sent: InputTensor, binary: bytes | None) -> list[Any] | bytes:
    """The elements of the one tensor: all that is binary, or in row-major order from the JSON."""
    size = sent.parameters.binary_data_size if sent.parameters else None
    if size is not None and sent.data is not None:
        raise InvalidInput("the tensor has data, and is binary, too", field=_DATA, remedy="Send it once.")
    behind = len(binary or b"")
    if (size or 0) != behind or (size is not None and binary is None):
        said = "is missing" if size is None else f"is {size:,}"
        raise InvalidInput(
            f"binary_data_size {said}, and {behind:,} bytes lie behind the JSON",
            field=f"{_INPUT}.parameters.binary_data_size",
            remedy=f"Send the length of the JSON in the header {HEADER_LENGTH}, and that of the tensor here.",
        )
    if size is not None and binary is not None:
        return binary
    if sent.data is None:
        raise InvalidInput("the tensor has no data", field=_DATA, remedy="Send its elements, or send it in binary.")
    return _flat(sent, sent.data)


def _only_input(document: InferRequest) -> InputTensor:
    remedy = f"Send one input, named `{IMAGES}`."
    if len(document.inputs) != 1:
        detail = f"there are {len(document.inputs)} inputs; models here take one"
        raise InvalidInput(detail, field="inputs", remedy=remedy)
    sent = document.inputs[0]
    if sent.name != IMAGES:
        detail = f"models here have no input {reprlib.repr(sent.name)}"
        raise InvalidInput(detail, field=f"{_INPUT}.name", remedy=remedy)
    return sent


def _check_shape(sent: InputTensor, of_one: Sequence[Sequence[int]], most: int) -> None:
    count, *rest = sent.shape
    if rest not in of_one:
        needed = " or ".join(f"[{', '.join(map(str, ['n', *one]))}]" for one in of_one)
        raise InvalidInput(
            f"the shape {sent.shape} is not {needed}",
            field=f"{_INPUT}.shape",
            remedy=f"Send n images of {sent.datatype} as {needed}.",
        )
    if count > most:
        raise InvalidInput(
            f"{count:,} images are more than the {most:,} that one request may have",
            field=f"{_INPUT}.shape",
            remedy="Send them in several requests.",
        )


def _pixels(sent: InputTensor, elements: list[Any] | bytes) -> Pixels:
    if isinstance(elements, bytes):
        _check_length(len(elements), math.prod(sent.shape), sent)
        return np.frombuffer(elements, np.uint8).reshape(sent.shape)
    # By type first, as bytes() would take true for 1. Generated clients write whole numbers as 0.0.
    kinds = set(map(type, elements))
    try:
        if kinds == {int}:
            return np.frombuffer(bytes(elements), np.uint8).reshape(sent.shape)
        if kinds <= {int, float} and all(map(float.is_integer, map(float, elements))):
            return np.frombuffer(bytes(map(int, elements)), np.uint8).reshape(sent.shape)
    except (ValueError, OverflowError):
        pass  # told below, with its place
    place, wrong = next((place, value) for place, value in enumerate(elements) if not _is_shade(value))
    raise InvalidInput(
        f"element {place:,} in row-major order is {reprlib.repr(wrong)}, not a whole number from 0 to 255",
        field=_DATA,
        remedy="Send pixels as they are in an 8-bit RGB image, not scaled.",
    )


def _is_shade(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 255 and value == int(value)


def _files(texts: list[Any]) -> Sequence[bytes]:
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            detail = f"element {place:,} is {reprlib.repr(text)}, not a text"
            raise InvalidImage(detail, field=field_of(place), remedy=f"Send a file in base64: {IMAGE_KINDS}.")
    return [from_base64(text, field_of(place)) for place, text in enumerate(texts)]


def _binary_files(sent: InputTensor, binary: bytes) -> Sequence[bytes]:
    """The elements of a binary tensor of BYTES: each its length in four bytes, the lowest first, and then itself."""
    found: list[bytes] = []
    start, needed = 0, math.prod(sent.shape)
    while start < len(binary) and len(found) < needed:
        length = int.from_bytes(binary[start : start + 4], "little")
        found.append(binary[start + 4 : start + 4 + length])
        start += 4 + length
    if start != len(binary) or len(found) != needed:
        raise InvalidInput(
            f"the binary tensor does not hold {needed:,} elements that fill it",
            field=f"{_INPUT}.parameters.binary_data_size",
            remedy="Send each element as its length in four bytes, the lowest first, and then its bytes.",
        )
    return [not_empty(file, field_of(place)) for place, file in enumerate(found)]


def _flat(sent: InputTensor, data: list[Any]) -> list[Any]:
    """The elements in row-major order, as many as the shape says; sent that way, or nested as the shape is."""
    if not isinstance(next(iter(data), None), list):
        _check_length(len(data), math.prod(sent.shape), sent)
        return data
    level: list[Any] = [data]
    for dimension in sent.shape:
        # What is no list, among lists, has no elements.
        lengths = set(map(len, level)) if set(map(type, level)) == {list} else {0}
        _check_length(next(iter(lengths - {dimension}), dimension), dimension, sent)
        level = list(chain.from_iterable(level))
    return level


def _check_length(found: int, needed: int, sent: InputTensor) -> None:
    if found != needed:
        raise InvalidInput(
            f"there are {found:,} elements where the shape {sent.shape} has {needed:,}",
            field=_DATA,
            remedy="Send all elements in row-major order, in one list or nested as the shape is.",
        )
