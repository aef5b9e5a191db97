"""What a training step frees is there for the next one, without the kernel."""

import resource
import subprocess
import sys

import pytest

# In a process of its own: the setting is for good, and what ran before would have grown the heap. Blocks as a step's
# activations: many, of less than 32 MiB, all freed at its end.
_STEPS = """
import resource, sys
import numpy as np
from noisegate.learning.allocator import keep_freed_memory

def step():
    return [np.full(3 * 2**20, 1.0) for _ in range(12)]

if sys.argv[1] == "kept":
    assert keep_freed_memory()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    ran = subprocess.run([sys.executable, "-c", _STEPS, how], capture_output=True, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_later_steps_find_the_pages_of_the_first() -> None:
    pages = 3 * 12 * 24 * 2**20 // resource.getpagesize()
    assert page_faults("kept") < pages / 20 < page_faults("as it is")
