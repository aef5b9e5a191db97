"""Text on consoles that cannot show all of it: nothing that is printed ends in a traceback."""

import codecs
import sys
from io import TextIOWrapper

_HANDLER = "noisegate.printable"
# What tables, bars and sentences of ours are made of; one character for one, so that columns stay aligned.
_IN_ASCII = str.maketrans("█·–−±σ→…━─│╸╺≤≥×’", "#.--~s>.--|--<>x'")


def make_printable() -> None:
    """Have standard output and error write what their encoding lacks as something similar, or as its escape."""
    codecs.register_error(_HANDLER, _similar)
    for stream in (sys.stdout, sys.stderr):
        # A test, or a program that calls this one, may have put something else there.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def printable(text: str) -> str:
    """A name from a disk, without what would steer a terminal: a line break becomes `\\n`, written out."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _similar(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    escaped = lacking.translate(_IN_ASCII).encode("ascii", "backslashreplace")
    return escaped.decode("ascii"), error.end
