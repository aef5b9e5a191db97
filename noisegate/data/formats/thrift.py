"""Thrift's compact encoding, as far as Parquet's own structures need it; what is not wanted is passed over."""

from collections.abc import Iterator

BOOLEAN_TRUE, BOOLEAN_FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)

_WHOLE = (I16, I32, I64)
_MOST_NESTED = 16
_MOST_SHIFT = 63


class BadThrift(Exception):
    """Bytes that are no such encoding."""


class CutShort(BadThrift):
    """Bytes that end within a structure."""


class Compact:
    """Reads `data` from its start; `at` is the place reached. Every method raises BadThrift, and CutShort at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """A struct's fields, by number and kind. The caller reads each, or passes over it, before it asks for the next."""
        field = 0
        while byte := self._byte():
            step, kind = byte >> 4, byte & 0x0F
            field = field + step if step else self.whole()
            yield field, kind

    def items(self) -> Iterator[int]:
        """The kind of each item of a list, which is read or passed over before the next."""
        byte = self._byte()
        count, kind = byte >> 4, byte & 0x0F
        if count == 0x0F:
            count = self._number()
        for _ in range(count):
            yield kind

    def whole(self) -> int:
        """A number with its sign: 0, -1, 1, -2 are written as 0, 1, 2, 3."""
        number = self._number()
        return (number >> 1) ^ -(number & 1)

    def binary(self) -> bytes:
        """Bytes, or a text."""
        length = self._number()
        self._pass(length)
        return self._data[self.at - length : self.at]

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a field of this kind."""
        if depth > _MOST_NESTED:
            raise BadThrift("nested too deep")
        if kind in _WHOLE:
            self._number()
        elif kind == BINARY:
            self._pass(self._number())
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind in (LIST, SET):
            for inner in self.items():
                # In a list, a truth value is a byte; in a struct it is the kind itself.
                self.skip(BYTE if inner in (BOOLEAN_TRUE, BOOLEAN_FALSE) else inner, depth + 1)
        elif kind in (BYTE, DOUBLE):
            self._pass(1 if kind == BYTE else 8)
        elif kind not in (BOOLEAN_TRUE, BOOLEAN_FALSE):
            raise BadThrift(f"a field of kind {kind}, which Parquet has none of")

    def _byte(self) -> int:
        self._pass(1)
        return self._data[self.at - 1]

    def _pass(self, count: int) -> None:
        if count > len(self._data) - self.at:
            raise CutShort("the end of the bytes comes first")
        self.at += count

    def _number(self) -> int:
        number = shift = 0
        while (byte := self._byte()) >= 0x80:
            number |= (byte & 0x7F) << shift
            shift += 7
            if shift > _MOST_SHIFT:
                raise BadThrift("a number without an end")
        return number | byte << shift
