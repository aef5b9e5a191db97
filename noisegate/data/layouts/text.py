"""Text files of an upload to text, JSON and lines: exactly what is written, or a reason why not."""

import codecs
import json
import re
import unicodedata
from typing import Any, Never

from noisegate.errors import InvalidArchive

_LIST = re.compile(r"\[.*\]", re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Unreadable(InvalidArchive):
    """A text file that is not what its name says; `why` follows on its name: `is not UTF-8`."""

    def __init__(self, name: str, why: str) -> None:
        remedy = "Mend it, or leave it out of the archive if it says nothing of the images' classes."
        super().__init__(f"{name!r} {why}", field="archive", remedy=remedy)


def decoded(name: str, content: bytes) -> str:
    """UTF-8, with a byte order mark or without; or UTF-16 with one, as spreadsheets write it.

    Raises:
        Unreadable: it is neither.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _utf16(name, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Unreadable(name, f"is not UTF-8 (line {line}): save it as UTF-8") from error
    return _without_zeros(name, text)


def _utf16(name: str, content: bytes) -> str:
    try:
        return _without_zeros(name, content.decode("utf-16"))
    except UnicodeDecodeError as error:
        raise Unreadable(name, "begins as UTF-16 and is none: save it as UTF-8") from error


def _without_zeros(name: str, text: str) -> str:
    if "\0" in text:
        raise Unreadable(name, "holds zero bytes, as no text does")
    return text


def parsed(name: str, text: str) -> Any:
    """JSON, with numbers as they are written: 01 is no number there, and 1.0 is not 1.

    Raises:
        Unreadable: not JSON, nested too deeply, or with a key that is there twice.
    """
    try:
        document = json.loads(text, parse_int=str, parse_float=str, parse_constant=_nothing, object_pairs_hook=_unique)
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Unreadable(name, "holds half of a character, a lone surrogate such as \\ud83d") from error
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Unreadable(name, f"is not JSON that can be read: {why}") from error
    return document


def as_label(value: object) -> str | None:
    """A JSON value as the text that it is written as; None for what is no single value, and for null and nothing at all."""
    if isinstance(value, bool):
        return str(value).lower()
    return unicodedata.normalize("NFC", value.strip()) or None if isinstance(value, str) else None


def single_label(name: str, value: object, at: str) -> str | None:
    """The label in a cell, None if it is empty; raises Unreadable for a list or an object of several."""
    if isinstance(value, list | dict) or (isinstance(value, str) and _LIST.fullmatch(value.strip())):
        raise Unreadable(name, f"has no single label in {at}, but {json.dumps(value, ensure_ascii=False)[:80]}")
    return as_label(value)


def _nothing(_constant: str) -> None:
    """NaN and the infinities, which JSON does not have and Python writes: no label, as null is none."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        _twice(next(key for key in keys if keys.count(key) > 1))
    return found


def _twice(key: str) -> Never:
    raise ValueError(f"{key!r} is there twice in one object")
