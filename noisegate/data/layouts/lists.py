"""Lists of lines `<image> <class>`, as ImageNet's: `val/ILSVRC2012_val_00000001.JPEG n01751748`."""

import re

from noisegate.data.layouts.references import References
from noisegate.data.layouts.statements import Said, Statement
from noisegate.data.layouts.suffixes import is_picture
from noisegate.data.layouts.text import Unreadable, as_label, decoded
from noisegate.data.members import NamedSplit

_BLANKS = re.compile(r"\s+")
# Numbers of several classes, or a class and its score.
_SEVERAL = re.compile(r"[0-9]+(\s+[0-9]+)+|.*\s[0-9]*\.[0-9]+")


def read_list(name: str, content: bytes, references: References, beside: str, part: NamedSplit | None) -> Said | None:
    """What a list says; None if its first line and most others are of another form, or none names an image.

    Raises:
        Unreadable: one of the lines is of another form.
    """
    lines = [
        line for line in content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").splitlines() if line.strip()
    ]
    pairs = [pair for pair in map(_pair, lines) if pair]
    is_list = bool(pairs) and (_pair(lines[0]) == pairs[0] or len(pairs) > len(lines) // 2)
    if not is_list or not any(references.find(image, beside, part) for image, _ in pairs):
        return None
    statements = []
    for number, line in enumerate(decoded(name, content).splitlines(), 1):
        if line.strip():
            pair = _pair(line)
            if pair is None:
                raise Unreadable(name, f"has no image and class in line {number}, as other lines have")
            if _SEVERAL.fullmatch(pair[1]):
                raise Unreadable(name, f"has more than a class in line {number}: {pair[1]!r}")
            meant = references.find(pair[0], beside, part)
            statements.append(Statement(f"line {number}", pair[0], meant, as_label(pair[1]), part))
    return Said(name, statements)


def _pair(line: str) -> tuple[str, str] | None:
    """An image and its class: blanks may stand in both, but only one of them may follow on an image's suffix."""
    line = line.strip()
    gaps = [gap for gap in _BLANKS.finditer(line) if is_picture(line[: gap.start()])]
    return (line[: gaps[0].start()], line[gaps[0].end() :]) if len(gaps) == 1 else None
