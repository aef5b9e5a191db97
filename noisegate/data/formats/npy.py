"""One `.npy` file: its header is believed only where the file bears it out, and pickles are never opened."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from noisegate.data import kinds
from noisegate.data.formats.fixed_rows import blocks
from noisegate.data.members import Collected, over_limit, refuse

NPY_MAGIC = b"\x93NUMPY"

_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# What NumPy raises at hostile headers. TokenError comes of its second try, as Python 2 wrote headers.
_FAILURES = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError)
# An array in Fortran's order has its images spread over the whole file: each block reads all of it.
_MOST_FORTRAN_BYTES = 2**30
_AGAIN = "Save it again, or fetch it by git lfs pull if it is a pointer of Git LFS, and send all of it."

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class NpyFile:
    """An array on the disk. `shape` has one dimension or more; the first counts its rows."""

    name: str
    path: Path
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    in_fortran_order: bool
    offset: int

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def blocks(self) -> Iterator[Array]:
        """Its rows in order, about 8 MiB at a time, each an array (rows, …) in C's order."""
        for rows in blocks(self.shape[0], self.row_bytes):
            yield self._in_fortran_order(rows) if self.in_fortran_order else self._in_c_order(rows)

    def read(self) -> Array:
        """The whole array."""
        return np.concatenate([np.empty((0, *self.shape[1:]), self.dtype), *self.blocks()])

    def _in_c_order(self, rows: range) -> Array:
        shape = (len(rows), *self.shape[1:])
        start = self.offset + rows.start * self.row_bytes
        return np.fromfile(self.path, self.dtype, math.prod(shape), offset=start).reshape(shape)

    def _in_fortran_order(self, rows: range) -> Array:
        whole = np.memmap(self.path, self.dtype, "r", offset=self.offset, shape=self.shape, order="F")
        return np.array(whole[rows.start : rows.stop], order="C")


def open_npy(file: Collected) -> NpyFile:
    """Read the header of an array.

    Raises:
        InvalidArchive: not an array of plain values, or of another size than its header claims.
        TooLarge: over 1 GiB in Fortran's order.
    """
    with file.path.open("rb") as opened:
        try:
            version = np.lib.format.read_magic(opened)
            read_header = _READ_HEADER.get(version)
            if read_header is None:
                raise refuse(file.name, f"is of version {version} of .npy", "Save plain numbers with numpy.save.")
            shape, in_fortran_order, dtype = read_header(opened)
        except _FAILURES as error:
            opened.seek(0)
            head = opened.read(kinds.HEAD_BYTES)
            damage = "is damaged or cut short: its header, which says its shape and type, cannot be read"
            raise refuse(file.name, kinds.missing(file.name, head) or damage, _AGAIN) from error
        offset = opened.tell()
    if dtype.hasobject:
        what = "holds Python objects, which NumPy keeps as a pickle: opening one runs what its author wrote"
        raise refuse(file.name, what, "Save an array of numbers: numpy.stack the images, all of one size.")
    if not shape or any(side < 0 for side in shape) or dtype.names is not None or dtype.subdtype is not None:
        raise refuse(
            file.name, f"is no array of images or labels: its shape is {shape}", "Save (images, height, width, 3)."
        )
    held = file.path.stat().st_size - offset
    if math.prod(shape) * dtype.itemsize != held:
        raise refuse(
            file.name,
            f"is damaged or cut short: it holds {held:,} bytes, and its header says {shape} of {dtype}",
            _AGAIN,
        )
    if in_fortran_order and held > _MOST_FORTRAN_BYTES:
        detail = f"{file.name!r} has more than {_MOST_FORTRAN_BYTES:,} bytes in Fortran's order"
        raise over_limit(detail, "Save numpy.ascontiguousarray of it.")
    return NpyFile(file.name, file.path, shape, dtype, in_fortran_order, offset)
