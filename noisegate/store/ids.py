"""Ids that sort by creation, so that a page cursor is an id."""

import secrets
import threading
import time

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """`prefix_` and 32 hexadecimal digits: 48 bits of milliseconds, then 80 random bits.

    The layout is that of a UUIDv7; within a process every id is larger than the one before (RFC 9562, 6.2, method 2), so
    rows made in the same millisecond keep their order.
    """
    global _last
    milliseconds = time.time_ns() // 1_000_000
    with _lock:
        _last = max(_last + 1, milliseconds << 80 | secrets.randbits(80))
        return f"{prefix}_{_last:032x}"
