"""How fast many executions train at once on a CUDA machine, beside the loop that most would write.

    python3 benchmarks/train_gpu.py [--out FILE] [--archive DIR_OR_TAR] [--minutes 7.5] [--device cuda|cpu] [--smoke]

Runs by itself from a checkout; PyTorch, NumPy and pydantic suffice, torchvision and Pillow are needed for the naive loop,
PyYAML for the whole paper's hours. In under eight minutes: what matters most first, a section that fails or finds no time
costs no other, and the results file is written after each. Exits with 1 if a target is missed: 100 × the naive loop's images
a second, and at most 0.1 ms an execution-step, both with 50 executions at once.
"""

import sys
import time
from pathlib import Path

import stand_ins

_HERE = Path(__file__).resolve().parent


def main() -> int:
    started = time.perf_counter()
    sys.path[:0] = [str(_HERE), str(_HERE.parent)]
    missing = stand_ins.install_missing()
    from train_parts import gpu  # whose imports need the stand-ins

    return gpu.main(__doc__, sys.argv[1:], missing, started)


if __name__ == "__main__":
    sys.exit(main())
