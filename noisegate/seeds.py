"""One experiment seed, many independent seeds: each place that draws random numbers has a path of its own."""

import hashlib

# Of seeds that are asked for: JavaScript and jq read no larger whole number exactly.
LARGEST_ASKED = 2**53 - 1


def derive_seed(seed: int, *path: str | int) -> int:
    """A seed in 0 … 2⁶³−1 for `path` below `seed`; the same arguments give the same seed on every machine and version.

    Paths in use: ("execution", cell, index), ("noise", cell), ("control", cell), ("points", cell), ("reference", cell),
    ("families", cell), ("weight_decay", cell), ("holdout",), ("folds",) and ("hybrids",) below an experiment's seed;
    ("split", class, name) and ("shuffle", split, class, name) below 0, for every dataset alike.
    """
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
