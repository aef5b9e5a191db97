"""`make demo`, as a newcomer would see it. Its parts are tested in tests/local/test_demo.py at each commit."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.nightly
def test_the_demo_ends_well_and_shows_what_it_promises() -> None:
    command = [str(Path(sys.executable).parent / "noisegate"), "demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "6 of 6 executions, 24 of 24 epochs" in said
    assert said.index("noise.quantity=0") < said.index("noise.quantity=1") < said.index("Test digit number 0")
    assert "accepted as 8" in said
    assert "rejected: noise" in said
    assert "A photograph of a temple" in said
