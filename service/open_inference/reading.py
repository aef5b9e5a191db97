"""From a request's body to images. Shapes are checked before an array is made; the body's limit bounds what stands before."""

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request

from noisegate.errors import InvalidImage, InvalidInput, UnsupportedMedia
from noisegate.image_kinds import IMAGE_KINDS
from service.bodies import JSON, content_type_of, parse_json, unsupported
from service.classify.images import from_base64
from service.open_inference.schemas import InferRequest, InputTensor

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


async def body_of(request: Request) -> bytes:
    """The body.

    Raises:
        UnsupportedMedia: it is said to be anything but plain JSON. To say nothing is well: tritonclient does.
    """
    if "inference-header-content-length" in request.headers:
        remedy = "Send tensors as JSON; with tritonclient: set_data_from_numpy(…, binary_data=False)."
        raise UnsupportedMedia("binary tensors are not read here", remedy=remedy)
    if (coding := request.headers.get("content-encoding", "identity")) != "identity":
        raise UnsupportedMedia(
            f"a body encoded with {coding!r} is not read here", remedy="Send it without compression."
        )
    if (sent := content_type_of(request)) and sent != JSON:
        raise unsupported(sent, [JSON])
    return await request.body()


def read(body: bytes, image_size: int, most: int) -> Tensors:
    """What a body asks for.

    Args:
        image_size: pixels a side of the model's images.
        most: images that one request may have.

    Raises:
        RequestValidationError: no JSON, or fields that are missing or wrong.
        InvalidInput: a tensor that this model does not take.
    """
    document = parse_json(body, InferRequest)
    sent = _only_input(document)
    if sent.datatype == PIXELS:
        _check_shape(sent, [image_size, image_size, 3], most)
        return Tensors(document, _pixels(sent))
    if sent.datatype == FILES:
        _check_shape(sent, [], most)
        return Tensors(document, _files(sent))
    raise InvalidInput(
        f"the datatype {reprlib.repr(sent.datatype)} is not read here",
        field=f"{_INPUT}.datatype",
        remedy=f"Send pixels as {PIXELS}, or image files as {FILES}.",
    )


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


def _check_shape(sent: InputTensor, of_one: Sequence[int], most: int) -> None:
    count, *rest = sent.shape
    if rest != of_one:
        needed = ", ".join(["n", *map(str, of_one)])
        raise InvalidInput(
            f"the shape {sent.shape} is not [{needed}]",
            field=f"{_INPUT}.shape",
            remedy=f"Send n images of {sent.datatype} as [{needed}].",
        )
    if count > most:
        raise InvalidInput(
            f"{count:,} images are more than the {most:,} that one request may have",
            field=f"{_INPUT}.shape",
            remedy="Send them in several requests.",
        )


def _pixels(sent: InputTensor) -> Pixels:
    flat = _flat(sent)
    # By type first, as bytes() would take true for 1.
    if set(map(type, flat)) == {int}:
        try:
            return np.frombuffer(bytes(flat), np.uint8).reshape(sent.shape)
        except ValueError:
            pass  # told below, with its place
    place, wrong = next(
        (place, value) for place, value in enumerate(flat) if type(value) is not int or not 0 <= value <= 255
    )
    raise InvalidInput(
        f"element {place:,} in row-major order is {reprlib.repr(wrong)}, not a whole number from 0 to 255",
        field=_DATA,
        remedy="Send pixels as they are in an 8-bit RGB image, not scaled.",
    )


def _files(sent: InputTensor) -> Sequence[bytes]:
    texts = _flat(sent)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            detail = f"element {place:,} is {reprlib.repr(text)}, not a text"
            raise InvalidImage(detail, field=field_of(place), remedy=f"Send a file in base64: {IMAGE_KINDS}.")
    return [from_base64(text, field_of(place)) for place, text in enumerate(texts)]


def _flat(sent: InputTensor) -> list[Any]:
    """The elements in row-major order, as many as the shape says; sent that way, or nested as the shape is."""
    if not isinstance(next(iter(sent.data), None), list):
        _check_length(len(sent.data), math.prod(sent.shape), sent)
        return sent.data
    level: list[Any] = [sent.data]
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
