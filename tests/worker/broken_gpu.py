"""`python -m tests.worker.broken_gpu`: a worker whose every training meets what an illegal access leaves of a GPU.

Each of its processes is a copy of this one, or runs this file too, and so has the same fault.
"""

from typing import Any

import pytest
import torch

from worker.main import main


def _meet_a_broken_context(*_: Any, **__: Any) -> Any:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


pytest.MonkeyPatch().setattr("worker.kinds.classifiers.run_executions", _meet_a_broken_context)

if __name__ == "__main__":
    main()
