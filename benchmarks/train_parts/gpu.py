"""The order of the sections of `train_gpu.py`, and its options."""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from record import RESULTS

from train_parts import (
    against_naive,
    ceilings,
    children,
    memory_limit,
    reckoning,
    step_times,
    variants,
    whole_training,
)
from train_parts.bench import Bench, DeviceBroken, Record
from train_parts.gpu_report import report
from train_parts.sizes import SMOKE, Sizes
from train_parts.step_times import release

_LONGEST_CHILD = 600


@dataclass(frozen=True)
class Section:
    """`seconds` are those that must be left for it to begin."""

    name: str
    measure: Callable[[Bench, Record], None]
    seconds: float = 10
    needs_gpu: bool = False


# What matters most comes first; what may take longer than there is comes last.
SECTIONS = (
    Section("ceilings", ceilings.describe),
    Section("steps", step_times.measure, 20),
    Section("naive", against_naive.measure, 25),
    Section("bounds", reckoning.bounds, 1),
    Section("projection", reckoning.projection, 1),
    Section("alone_or_among", whole_training.alone_or_among, 15),
    Section("loop", whole_training.loop, 20),
    Section("epochs", whole_training.epochs, 20),
    Section("memory_limit", memory_limit.measure, 30, needs_gpu=True),
    Section("kernels", variants.kernels, 15),
    Section("streams", variants.streams, 20, needs_gpu=True),
    Section("without_graph", variants.without_graph, 20, needs_gpu=True),
    Section("float32", variants.float32, 15),
    Section("processes", children.processes, 60, needs_gpu=True),
    Section("compiled", children.compiled, 90, needs_gpu=True),
)


def main(description: str | None, arguments: Sequence[str], stand_ins: Sequence[str], started: float) -> int:
    """Measure all that is asked for; 0, or 1 if a target was missed, or 3 if the GPU broke down."""
    asked = _options(description, arguments)
    if asked.device == "cpu" and asked.smoke:
        torch.set_num_threads(1)
    bench = Bench(
        device=torch.device("cuda:0" if asked.device == "cuda" else asked.device),
        sizes=SMOKE if asked.smoke else Sizes(),
        archive=asked.archive,
        ends=started + 60 * asked.minutes,
        path=asked.out,
    )
    if asked.child:
        bench.ends = time.perf_counter() + _LONGEST_CHILD
        return children.be_child(bench, json.loads(asked.child))
    chosen = asked.sections.split(",") if asked.sections else [section.name for section in SECTIONS]
    if asked.sections and asked.out.exists():  # what an earlier run found; this one replaces some of it
        bench.results = {name: found for name, found in json.loads(asked.out.read_text()).items() if name != "machine"}
    bench.results |= {"sizes": vars(bench.sizes), "stand_ins": list(stand_ins)}
    code = _measure(bench, chosen)
    print(report(bench.results), flush=True)
    print(f"Kept in {bench.path}", flush=True)
    return code


def _measure(bench: Bench, chosen: Sequence[str]) -> int:
    broken = False
    for section in SECTIONS:
        if section.name not in chosen:
            continue
        try:
            bench.section(section.name, section.measure, seconds=section.seconds, needs_gpu=section.needs_gpu)
            release(bench)
        except DeviceBroken as error:
            bench.results["ended_early"] = f"the GPU broke down in {section.name}: {error}"
            broken = True
            break
    targets = against_naive.targets(bench)
    bench.results["targets"] = targets
    bench.keep()
    missed = any(isinstance(one, dict) and one["reached"] is False for one in targets.values())
    return 3 if broken else int(missed and bench.on_gpu)


def _options(description: str | None, arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "train_gpu.json")
    parser.add_argument("--archive", type=Path, help="a folder or tar of train/<class>/*, for the naive loop")
    parser.add_argument("--minutes", type=float, default=7.5, help="after which nothing more is begun")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: to see that it works")
    names = ", ".join(section.name for section in SECTIONS)
    parser.add_argument("--sections", help=f"only these of {names}; what --out holds of others stays")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)
