"""A stand-in for a process of `noisegate up`: starts a grandchild, tells both ids, and stays until SIGTERM.

Arguments: a file to append `NAME started PID GRANDCHILD` and `NAME ended` to, the name, and `stubborn` to stay at SIGTERM,
and only append `NAME asked`.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

GRANDCHILD = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


def main(diary: Path, name: str, *manner: str) -> NoReturn:
    def write(line: str) -> None:
        with diary.open("a") as file:
            file.write(f"{name} {line}\n")

    def end(_number: int, _frame: FrameType | None) -> None:
        if "stubborn" in manner:
            write("asked")
        else:
            write("ended")
            sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    # It ignores SIGTERM and waits for nobody: the worker's training processes at their worst.
    grandchild = subprocess.Popen([sys.executable, "-I", "-S", "-c", GRANDCHILD], stdout=subprocess.PIPE)
    assert grandchild.stdout
    grandchild.stdout.readline()
    write(f"started {os.getpid()} {grandchild.pid}")
    while True:
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
