"""Outlives `noisegate up` by moments: when that process dies by any death, kill -9 included, this one ends what it started.

Reads lines from standard input: `+123` for a process group to end with us, `-123` for one that is gone. At the end of
input it asks all of them to end, and after a grace period kills what is left. It holds on to the file descriptors it
inherits, the lock of the data directory among them, so that no second installation starts while old processes still write.

A script of its own on purpose: it imports nothing but the standard library, so it starts in a few hundredths of a second.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable

GRACE_SECONDS = 8.0
KILL_SECONDS = 2.0
POLL_SECONDS = 0.05


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups = _groups_at_the_end(sys.stdin)
    for group in reversed(groups):
        _signal(os.kill, group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    _wait_for_the_end(groups, deadline)
    for group in groups:
        _signal(os.killpg, group, signal.SIGKILL)
    # Killed is not yet gone; and what we hold on to is to be held until they are.
    _wait_for_the_end(groups, time.monotonic() + KILL_SECONDS)


def _wait_for_the_end(groups: Iterable[int], deadline: float) -> None:
    # These are no children of ours, so their end cannot be awaited.
    while time.monotonic() < deadline and any(_exists(group) for group in groups):
        time.sleep(POLL_SECONDS)


def _groups_at_the_end(lines: Iterable[str]) -> list[int]:
    groups: list[int] = []
    for line in lines:
        group = int(line)
        if group > 0:
            groups.append(group)
        else:
            groups.remove(-group)
    return groups


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group in which only zombies are left
        return False
    return True


def _signal(send: Callable[[int, int], None], target: int, number: int) -> None:
    # It may have ended by itself in the meantime; see _exists for the other.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(target, number)


if __name__ == "__main__":
    main()
