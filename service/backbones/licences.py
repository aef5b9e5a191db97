"""What to beware of in the licences of published weights. Those that are known to be free in the usual sense have no note."""

_FREE = frozenset({"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0"})
_NOTES = {
    "": "Its publishers give no licence: ask them before you use it.",
    "unknown": "Its publishers give no licence: ask them before you use it.",
    "cc-by-nc-4.0": "For non-commercial use only.",
    "fair-noncommercial-research-license": "For non-commercial research only.",
    "apple-amlr": "Apple's licence for research: for research only, not for products.",
    "dinov3-license": "Meta's own licence, with conditions on use and on passing on: read it before you use it.",
}
_OTHERS = "A licence of its own: read it before you use it."


def note_on(licence: str) -> str | None:
    """A sentence on a licence that is not a free one; None of a free one."""
    return None if licence in _FREE else _NOTES.get(licence, _OTHERS)
