"""BMP: read as it is, as there is no metadata in it; refused where Pillow would unpack it in Python, byte by byte."""

import struct

from noisegate.inference.parts import Container, refuse, truncated

_COMPRESSION_AT = 30
_OLDEST_HEADER = 12
# As numbered in the format. Five million runs of a pixel, 10 MiB, would hold all threads up for seconds.
_PACKED = {1: "run lengths", 2: "run lengths", 4: "a JPEG", 5: "a PNG"}


def unwrap_bmp(data: bytes) -> Container:
    """A BMP; raises InvalidImage if it is cut short or packed in a way that is not read."""
    if len(data) < _COMPRESSION_AT + 4:
        raise truncated()
    header_size, compression = struct.unpack_from("<I12xI", data, 14)
    if header_size != _OLDEST_HEADER and compression in _PACKED:
        raise refuse(f"is a BMP packed as {_PACKED[compression]}", "Save it without compression, or as PNG.")
    return Container("BMP", data, 1)
