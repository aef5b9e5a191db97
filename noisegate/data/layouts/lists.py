"""Lists of lines `<image> <class>`, as ImageNet's: `val/ILSVRC2012_val_00000001.JPEG n01751748`."""

import re

from noisegate.data.layouts.references import References
from noisegate.data.layouts.statements import Said, Statement
from noisegate.data.layouts.suffixes import is_picture
from noisegate.data.layouts.text import Unreadable, as_label, decoded
from noisegate.data.members import NamedSplit

_BLANKS = re.compile(r"\s+")


def read_list(name: str, content: bytes, references: References, beside: str, part: NamedSplit | None) -> Said | None:
    """What a list says; None if its first line names no image of the archive.

    Raises:
        Unreadable: another line is not of that form.
    """
    first = content.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")[0].decode("utf-8", "replace")
    pair = _pair(first)
    if pair is None or not references.find(pair[0], beside, part):
        return None
    statements = []
    for number, line in enumerate(decoded(name, content).splitlines(), 1):
        if line.strip():
            pair = _pair(line)
            if pair is None:
                raise Unreadable(name, f"has no image and class in line {number}, as its first line has")
            meant = references.find(pair[0], beside, part)
            statements.append(Statement(f"line {number}", pair[0], meant, as_label(pair[1]), part))
    return Said(name, statements)


def _pair(line: str) -> tuple[str, str] | None:
    """An image and its class: blanks may stand in both, but only one of them may follow on an image's suffix."""
    line = line.strip()
    gaps = [gap for gap in _BLANKS.finditer(line) if is_picture(line[: gap.start()])]
    return (line[: gaps[0].start()], line[gaps[0].end() :]) if len(gaps) == 1 else None
