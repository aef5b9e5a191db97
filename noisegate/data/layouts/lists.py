"""Lists of lines `<image> <class>`, as ImageNet's: `val/ILSVRC2012_val_00000001.JPEG n01751748`."""

import re

from noisegate.data.layouts.references import References
from noisegate.data.layouts.statements import Said, Statement
from noisegate.data.layouts.text import Unreadable, as_label, decoded
from noisegate.data.members import IMAGE_SUFFIXES, NamedSplit

_AFTER_IMAGE = re.compile(rf"(?:{'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})\s+", re.IGNORECASE)


def read_list(name: str, content: bytes, references: References, beside: str, part: NamedSplit | None) -> Said | None:
    """What a list says; None if its first line names no image of the archive.

    Raises:
        Unreadable: another line is not of that form.
    """
    statements: list[Statement] = []
    for number, line in enumerate(decoded(name, content).splitlines(), 1):
        if not line.strip():
            continue
        ends = [match for match in _AFTER_IMAGE.finditer(line) if line[match.end() :].strip()]
        written = line[: ends[0].end()].strip() if len(ends) == 1 else ""
        meant = references.find(written, beside, part)
        if not statements and not meant:
            return None
        if not written:
            raise Unreadable(name, f"has no image and class in line {number}, as its first line has")
        statements.append(Statement(f"line {number}", written, meant, as_label(line[ends[0].end() :]), part))
    return Said(name, statements) if statements else None
