"""Names of files in archives: decoded only where one reading is possible, and spelled in one way.

A wrong guess would become a class name, in answers, figures and the model. So there is no guess.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import get_args

from noisegate.api.reading import NameEncoding
from noisegate.data.kinds import is_passed_over
from noisegate.data.members import Told, refuse
from noisegate.errors import InvalidArchive

# Windows writes supersets of these standards, which differ from them in a few signs, such as 〜 and ～.
_VARIANTS = {"shift_jis": ("shift_jis", "cp932"), "euc_kr": ("euc_kr", "cp949"), "big5": ("big5", "cp950")}

_DRIVE = re.compile(r"[A-Za-z]:")
# Control characters, and those that break lines or turn the direction of the text around them.
_NEVER_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

_SHOWN_CHARACTERS = 40


class NameDecoder:
    """Decodes those names of one archive whose encoding it does not say.

    They are UTF-8, if all are valid as such and nobody says otherwise; or else in the encoding that the sender names. A name
    that reads as UTF-8 and differently in the encoding named is refused, until another name has shown that the archive is not
    in UTF-8: `рак` in cp866 happens to be valid UTF-8.
    """

    def __init__(self, asked: NameEncoding | None) -> None:
        self._asked = None if asked == "utf-8" else asked
        self._is_other = False
        self._used: Counter[str] = Counter()

    def look_at(self, raw: bytes) -> None:
        """Take a name as evidence; all at hand should be looked at before the first is decoded."""
        self._is_other = self._is_other or not _readings(raw, "utf-8")

    def decode(self, raw: bytes) -> str:
        """The name.

        Raises:
            InvalidArchive: neither UTF-8 nor in the encoding named, or with more than one reading.
        """
        if raw.isascii():
            return raw.decode("ascii")
        self.look_at(raw)
        encoding = self._asked if self._asked and self._is_other else "utf-8"
        readings = _readings(raw, encoding)
        if not readings:
            raise _unreadable(raw, encoding if self._asked else None)
        if self._asked and not self._is_other:
            readings += [text for text in _readings(raw, self._asked) if text not in readings]
        if len(readings) > 1:
            raise _ambiguous(raw, readings, encoding)
        self._used[encoding] += 1
        return readings[0]

    def told(self) -> Iterator[Told]:
        """Which encodings were used, and whether the one that was named was needed."""
        if self._asked and not self._used:
            yield Told(f"names={self._asked} had no effect: the names in it are ASCII, or say their encoding")
        for encoding, count in self._used.items():
            yield Told(f"{count:,} names in the archive do not say their encoding and were read as {encoding}")


def kept_path(name: str) -> str | None:
    """A file's path in one spelling (`./a//b` is `a/b`; accents composed), so that twins are seen as such.

    None for files that systems and packers put in by themselves, hidden ones among them: these are passed over. Nothing is
    ever written to such a path; an archive that tries to escape is refused all the same.

    Raises:
        InvalidArchive: the path is absolute, climbs (`..`), names a drive or nothing, or has a backslash or a character that
            no name should have.
    """
    composed = unicodedata.normalize("NFC", name)
    parts = [part for part in composed.split("/") if part not in ("", ".")]
    path = "/".join(parts)
    if composed.startswith("/") or ".." in parts or _DRIVE.match(path):
        raise refuse(name, "points outside the archive", "Pack it again with relative paths and without '..'.")
    if "\\" in path:
        raise refuse(name, "has a backslash in its path", "Pack it again with forward slashes.")
    if any(map(is_passed_over, parts)):
        return None
    if found := _NEVER_IN_NAMES.search(path):
        what = f"has a control character (U+{ord(found[0]):04X}) in its name"
        raise refuse(name, what, "Rename it. If names look wrong, pack it again with names in UTF-8.")
    if not path:
        raise refuse(name, "is a file without a name", "Give every file a name.")
    return path


def kept_folder(name: str) -> str | None:
    """A folder's path in the same spelling; None for the root, and for hidden ones and those that systems put in."""
    return kept_path(name) if name.strip("./") else None


def folder_of_hidden(name: str) -> str:
    """The folder in which a path that `kept_path` passes over is hidden: `cat` of `cat/.git/1.png`; empty for the root."""
    parts = [part for part in unicodedata.normalize("NFC", name).split("/") if part not in ("", ".")]
    first = next(at for at, part in enumerate(parts) if is_passed_over(part))
    return "/".join(parts[:first])


def marked_wrongly(raw: bytes) -> InvalidArchive:
    """The error for a name that is marked as UTF-8 and is none."""
    return refuse_bytes(raw, "is marked as UTF-8 and is not", "Pack it again with names in UTF-8.")


def refuse_bytes(raw: bytes, what: str, remedy: str) -> InvalidArchive:
    """As `refuse`, for a name that cannot be decoded: what is not ASCII is shown as `\\xe4`."""
    return InvalidArchive(f"{repr(raw)[1:]} {what}", field="archive", remedy=remedy)


def _readings(raw: bytes, encoding: str) -> list[str]:
    """What the bytes say in an encoding and in its variants; empty if nothing."""
    found: list[str] = []
    for variant in _VARIANTS.get(encoding, (encoding,)):
        try:
            text = raw.decode(variant)
        except UnicodeDecodeError:
            continue
        if text not in found:
            found.append(text)
    return found


def _unreadable(raw: bytes, asked: str | None) -> InvalidArchive:
    what = "is a name that is not in UTF-8, and the archive does not say its encoding"
    if asked is not None:
        what = f"is a name that cannot be read as {asked}, the encoding that was named"
    candidates = ", ".join(f"names={encoding} reads {text!r}" for encoding, text in _candidates(raw))
    remedy = f", or name its encoding: {candidates}" if candidates else ""
    return refuse_bytes(raw, what, f"Pack it again with names in UTF-8{remedy}.")


def _candidates(raw: bytes) -> Iterator[tuple[str, str]]:
    """What the first part of the path that is not ASCII says, in every encoding that may be named and reads it as text."""
    part = next(part for part in raw.split(b"/") if not part.isascii())
    for encoding in get_args(NameEncoding):
        texts = _readings(part, encoding)
        if len(texts) == 1 and texts[0].isprintable():
            yield encoding, texts[0][:_SHOWN_CHARACTERS]


def _ambiguous(raw: bytes, readings: list[str], encoding: str) -> InvalidArchive:
    what = f"is a name with more than one reading: {' or '.join(map(repr, readings))}"
    leave_out = "If the first is right, leave the encoding out. If not, pack" if encoding == "utf-8" else "Pack"
    return refuse_bytes(raw, what, f"{leave_out} it again with names in UTF-8.")
