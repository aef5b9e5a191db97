"""Pieces of the sentences that layouts say."""

import re
from collections.abc import Collection, Sequence

# The others are counted.
_MOST_NAMED = 10
# `imageId` is two words, `train-000001` is one and a number.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def each_of(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def words_in(name: str) -> set[str]:
    """The words of a column's or a file's name, in small letters."""
    return {word.lower() for word in _WORD.findall(name)}


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2,000 images`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def were(number: int) -> str:
    return "was" if number == 1 else "were"


def listed(names: Collection[str], joint: str = "and") -> str:
    """`'a', 'b' and 'c'`, at most ten of them and how many more there are."""
    quoted = [repr(name) for name in sorted(names)]
    if len(quoted) > _MOST_NAMED:
        return f"{', '.join(quoted[:_MOST_NAMED])} {joint} {len(quoted) - _MOST_NAMED:,} more"
    return _joined(quoted, joint)


def _joined(words: Sequence[str], joint: str) -> str:
    return f" {joint} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
