"""The benchmark for GPUs, tiny and on a CPU: it must run from a bare checkout, and measure all that needs no GPU."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noisegate.learning.engines import ENGINES

pytestmark = pytest.mark.nightly

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "train_gpu.py"
HIDDEN = ("jaxtyping", "structlog", "safetensors", "scipy")
NEED_A_GPU = ("memory_limit", "streams", "without_graph", "processes", "compiled")

# Runs a program as if some packages were not installed: `python -c … <their names> <program> <its arguments>`.
_WITHOUT = """
import runpy, sys
from pathlib import Path

hidden, program = sys.argv[1].split(","), sys.argv[2]

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[2:]
sys.path[0] = str(Path(program).parent)
runpy.run_path(program, run_name="__main__")
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run without the packages that a bare PyTorch lacks has found."""
    out = tmp_path_factory.mktemp("benchmark") / "train_gpu.json"
    arguments = [",".join(HIDDEN), str(PROGRAM), "--device", "cpu", "--smoke", "--out", str(out)]
    ended = subprocess.run([sys.executable, "-c", _WITHOUT, *arguments], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "| at once | engine |" in ended.stdout
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_runs_where_annotations_and_logs_have_only_stand_ins(results: dict[str, Any]) -> None:
    assert results["stand_ins"] == list(HIDDEN)


def test_nothing_failed(results: dict[str, Any]) -> None:
    assert '"failed"' not in json.dumps(results)


def test_all_numbers_are_finite(results: dict[str, Any]) -> None:
    numbers = list(_numbers(results))
    assert len(numbers) > 100
    assert all(map(math.isfinite, numbers))


def test_every_engine_is_timed_alone_and_among_others(results: dict[str, Any]) -> None:
    for count in (1, 2):
        for engine in ENGINES:
            found = results["steps"][str(count)][engine]
            assert found["ms_per_step"] == pytest.approx(count * found["ms_per_execution_step"])
            assert found["images_per_second"] == pytest.approx(16 * 1000 / found["ms_per_execution_step"])


def test_what_needs_a_gpu_says_so(results: dict[str, Any]) -> None:
    assert [results[name] for name in NEED_A_GPU] == [{"not_measured": "needs a GPU"}] * len(NEED_A_GPU)


def test_alone_or_among_others_makes_no_difference(results: dict[str, Any]) -> None:
    found = results["alone_or_among"]
    assert all(found[engine]["weights_relative_difference"] < 1e-5 for engine in ENGINES)


def test_operations_are_those_counted_by_hand(results: dict[str, Any]) -> None:
    """16×16 images, batches of 16: forward, for the weights, and but for the first layer for its input."""
    layers = [(2, 16**2 * 32 * 75), (3, 7**2 * 32 * 800), (3, 3**2 * 64 * 800), (3, 64 * 64), (3, 64 * 11)]
    assert results["bounds"]["flops_per_execution_step"] == 16 * sum(2 * passes * macs for passes, macs in layers)


def test_the_naive_loop_and_the_ratio_to_it_are_there(results: dict[str, Any]) -> None:
    ratio = results["targets"]["at least 100 × the naive loop"]
    best = max(results["steps"]["2"][engine]["images_per_second"] for engine in ENGINES)
    assert ratio["found"] == pytest.approx(best / results["naive"]["images_per_second"])
    assert ratio["reached"] is False


def _numbers(found: object) -> Iterator[float]:
    if isinstance(found, dict):
        for one in found.values():
            yield from _numbers(one)
    elif isinstance(found, list):
        for one in found:
            yield from _numbers(one)
    elif isinstance(found, int | float):
        yield found
