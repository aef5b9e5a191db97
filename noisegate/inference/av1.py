"""AV1, as far as it says how many pixels decoding it makes: the heads of its sequence and frames.

An AVIF file tells its size outside the coded picture, where nothing keeps it from claiming 8 × 8 for one of 16,384 × 16,384,
and the decoder goes by the latter. What a photograph does not need is refused: frames of changing sizes, the timing of videos.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from noisegate.inference.parts import checked, damaged, refuse, truncated

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6
# AV1 has at most four spatial layers, each a frame of its own.
_MOST_FRAMES = 4
# A photograph has two or three.
_MOST_UNITS = 200
_HEAD_BYTES = 64
_SWITCH_FRAME, _KEY_FRAME = 3, 0
_CHOSEN_BY_FRAME = 2


@dataclass(frozen=True)
class _Sequence:
    """The largest frame's size, and which fields a frame's head has before it says whether it has another size."""

    pixels: int
    reduced: bool
    screen_content: int
    integer_motion: int
    id_bits: int


class _Bits:
    """Reads unsigned numbers of a given width in bits, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def read(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            raise truncated()
        return (self._value >> self._left) & ((1 << bits) - 1)


def decoded_pixels(coded: bytes) -> int:
    """Width times height of each frame, in all; raises InvalidImage where that is not known, or for more than four frames."""
    sequence: _Sequence | None = None
    pixels = frames = 0
    for kind, content in _units(coded):
        if kind == _SEQUENCE:
            sequence = _sequence(_Bits(content[:_HEAD_BYTES]))
        elif kind in (_FRAME, _FRAME_HEADER):
            if sequence is None:
                raise damaged("a frame comes before the head of its sequence")
            _check_frame(_Bits(content[:_HEAD_BYTES]), sequence)
            pixels += sequence.pixels
            frames += 1
    if frames > _MOST_FRAMES:
        raise refuse(f"has {frames:,} frames", "Send one frame as an image of its own.")
    return pixels


def _units(coded: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each unit (OBU)."""
    at = units = 0
    while at < len(coded):
        units = checked(units + 1, _MOST_UNITS)
        head = coded[at]
        at += 2 if head & 4 else 1
        size = len(coded) - at
        if head & 2:
            size, at = _little_endian_base_128(coded, at)
        if size < 0 or at + size > len(coded):
            raise truncated()
        yield head >> 3 & 15, coded[at : at + size]
        at += size


def _little_endian_base_128(coded: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        if at >= len(coded):
            raise truncated()
        byte = coded[at]
        value |= (byte & 127) << (7 * place)
        at += 1
        if byte < 128:
            return value, at
    raise damaged("a length has too many digits")


def _sequence(bits: _Bits) -> _Sequence:
    """As in section 5.5 of the AV1 specification."""
    bits.read(3 + 1)  # profile, still picture
    reduced = bool(bits.read(1))
    if reduced:
        bits.read(5)  # level
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    pixels = (bits.read(width_bits) + 1) * (bits.read(height_bits) + 1)
    id_bits = 0
    if not reduced and bits.read(1):
        id_bits = bits.read(4) + bits.read(3) + 3
    bits.read(3)  # superblocks of 128, two kinds of intra filters
    if reduced:
        return _Sequence(pixels, reduced, _CHOSEN_BY_FRAME, _CHOSEN_BY_FRAME, id_bits)
    bits.read(4)  # four kinds of prediction
    if bits.read(1):  # order hints
        bits.read(2)
    screen_content = _CHOSEN_BY_FRAME if bits.read(1) else bits.read(1)
    integer_motion = _CHOSEN_BY_FRAME
    if screen_content and not bits.read(1):
        integer_motion = bits.read(1)
    return _Sequence(pixels, reduced, screen_content, integer_motion, id_bits)


def _skip_operating_points(bits: _Bits) -> None:
    if bits.read(1):
        raise refuse("is coded as a video, with timing", "Save it as a still image, or as JPEG or PNG.")
    delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)  # which layers
        if bits.read(5) > 7:  # level
            bits.read(1)
        if delay and bits.read(1):
            bits.read(4)


def _check_frame(bits: _Bits, sequence: _Sequence) -> None:
    """As in section 5.9.2 of the specification, up to where a frame says that it has another size than its sequence."""
    if sequence.reduced or bits.read(1):  # or a frame shown again
        return
    kind = bits.read(2)
    shown = bits.read(1)
    if not shown:
        bits.read(1)
    if not (kind == _SWITCH_FRAME or (kind == _KEY_FRAME and shown)):
        bits.read(1)
    bits.read(1)
    screen_content = sequence.screen_content
    if screen_content == _CHOSEN_BY_FRAME:
        screen_content = bits.read(1)
    if screen_content and sequence.integer_motion == _CHOSEN_BY_FRAME:
        bits.read(1)
    bits.read(sequence.id_bits)
    if kind == _SWITCH_FRAME or bits.read(1):
        raise refuse("has frames of different sizes", "Send one frame as an image of its own.")
