"""`python -m worker.data_main QUEUE …`: one process that reads uploads, or makes views and features too, and never trains.

`worker.main` starts it, and holds the other end of its standard input: once that is closed, in order or because the parent is
gone, it gives back what it holds and ends.
"""

import os
import signal
import sys
import threading

from noisegate import tracing
from worker.app import app, consuming


def main() -> None:
    """Run until SIGTERM, or until standard input ends."""
    threading.Thread(target=_end_with_the_parent, name="parent", daemon=True).start()
    try:
        # In this process itself: a pool of one would be a second process, which does nothing but wait for the first.
        app.worker_main(consuming(sys.argv[1:], "--pool=solo"))
    finally:
        tracing.stop()


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
