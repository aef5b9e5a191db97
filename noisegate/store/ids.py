"""Ids that sort by time of creation, so that a page cursor is an id."""

import secrets
import time


def new_id(prefix: str) -> str:
    """`prefix_` and 32 hexadecimal digits: 48 bits of milliseconds, then 80 random bits (the layout of a UUIDv7, RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}_{milliseconds:012x}{secrets.token_hex(10)}"
