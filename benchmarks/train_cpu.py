"""How fast a machine without a GPU trains, beside the loop that most would write.

    python benchmarks/train_cpu.py [--seconds 20] [--rounds 3] [--archive CIFAR10.tar.xz] [--accuracy]

Interleaved rounds, each of: the naive loop (ImageFolder over JPEGs, float32, PyTorch's threads on all cores) with 0 and with 2
workers that decode, of which the better one counts; as many processes of ours as there are cores, one thread each, as the
worker runs them; and one such process alone. Medians, and ratios within rounds. Then what a step costs with each engine,
beside the bound by arithmetic, how epochs grow, what telling progress costs, and what the whole paper would take here. Some
ten minutes on two idle cores. Exits with 1 if the target is missed: 3.5 × the naive loop, on a processor with bfloat16.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, keep
from train_parts import accuracy, cpu_children, paper_work
from train_parts.bounds import work_of_step
from train_parts.cpu_children import each_in_a_process
from train_parts.made_up import OUTPUTS, jpegs_in
from train_parts.markdown import table
from train_parts.sizes import Sizes

TARGET_RATIO = 3.5
WORKERS = (0, 2)
COUNTS = (1, 2, 5, 10)
TOGETHER, ALONE = "noisegate, a process a core", "noisegate, one process"
_FULL_SECONDS = 20
_EPOCH_IMAGES = (1_250, 2_500, 5_000, 10_000, 20_000)

# One round: what was measured of each.
Round = dict[str, dict[str, Any]]


def main() -> int:
    asked = _options()
    # A shorter run is a smaller one throughout.
    share = min(1.0, asked.seconds / _FULL_SECONDS)
    sizes = Sizes(seconds=share, timings=3, warm_up=1, images=round(50_000 * share), naive_files=round(5_000 * share))
    figures: dict[str, Any] = {
        "command": f"python benchmarks/train_cpu.py --seconds {asked.seconds:g} --rounds {asked.rounds}",
        "load_average_before": round(os.getloadavg()[0], 2),
        **_processor(),
        **_rounds(asked, sizes),
    }
    figures |= _alone(sizes, share)
    figures["paper"] = _paper(figures["medians"][TOGETHER]["images_per_second"], sizes.batch)
    if asked.accuracy:
        figures["accuracy"] = accuracy.compare(asked.archive, asked.accuracy_seeds)
    return _report(figures, asked.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=_FULL_SECONDS, help="of each in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--archive", type=Path, help="train/<class>/*, test/<class>/* as tar.xz, for the naive loop")
    parser.add_argument("--out", type=Path, default=RESULTS / "train_cpu.json")
    parser.add_argument("--accuracy", action="store_true", help="also 12 epochs in bfloat16 and float32: hours")
    parser.add_argument("--accuracy-seeds", type=int, default=1)
    asked = parser.parse_args()
    if asked.accuracy and not asked.archive:
        parser.error("--accuracy needs --archive")
    return asked


def _processor() -> dict[str, Any]:
    found = torch.cpu.get_capabilities()
    multiplies = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return {"cores": _cores(), "processor_multiplies_bfloat16": multiplies}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _rounds(asked: argparse.Namespace, sizes: Sizes) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="noisegate-naive-") as name:
        folder = jpegs_in(Path(name), asked.archive, sizes)
        rounds = [_round(folder, asked.seconds, sizes, number + 1) for number in range(asked.rounds)]
    medians = {
        name: {"images_per_second": statistics.median(one[name]["images_per_second"] for one in rounds)}
        for name in rounds[0]
    }
    ratios = [one[TOGETHER]["images_per_second"] / _best_naive(one) for one in rounds]
    return {
        "files": "the archive's" if asked.archive else f"{sizes.naive_files} made up",
        "medians": medians,
        "ratio_to_naive": statistics.median(ratios),
        "ratio_to_naive_by_round": ratios,
        "peak_rss_mib": max(one[ALONE]["peak_rss_mib"] for one in rounds),
        "rounds": rounds,
    }


def _round(folder: Path, seconds: float, sizes: Sizes, number: int) -> Round:
    cores, found = _cores(), Round()
    for workers in WORKERS:
        (found[_naive(workers)],) = each_in_a_process(
            cpu_children.naive_loop, [(folder, workers, cores, seconds, sizes)]
        )
    together = each_in_a_process(cpu_children.ours, [(seed, seconds, sizes) for seed in range(cores)])
    found[TOGETHER] = {
        "images_per_second": sum(one["images_per_second"] for one in together),
        "precision": together[0]["precision"],
        "each": together,
    }
    (found[ALONE],) = each_in_a_process(cpu_children.ours, [(0, seconds, sizes)])
    for name, one in found.items():
        print(f"round {number}: {name}: {one['images_per_second']:,.0f} images/s", flush=True)
    return found


def _naive(workers: int) -> str:
    return f"naive loop, {workers} workers"


def _best_naive(found: Round) -> float:
    return max(float(found[_naive(workers)]["images_per_second"]) for workers in WORKERS)


def _alone(sizes: Sizes, share: float) -> dict[str, Any]:
    """What is measured in one process after another."""
    (engines,) = each_in_a_process(cpu_children.engines_at_once, [(COUNTS, sizes)])
    print("engines: done", flush=True)
    (product,) = each_in_a_process(cpu_children.product_flops, [(sizes,)])
    images = [max(sizes.batch, round(count * share)) for count in _EPOCH_IMAGES]
    (epochs,) = each_in_a_process(cpu_children.epoch_seconds, [(images, sizes)])
    print("epochs: done", flush=True)
    (progress,) = each_in_a_process(cpu_children.cost_of_progress, [(max(sizes.batch, round(6_400 * share)), 5, sizes)])
    work = work_of_step(image_size=sizes.image_size, outputs=OUTPUTS, batch=sizes.batch)
    bound = 1000 * work.flops / product["flops_per_second"]
    return {
        "engines": engines,
        "bound": {
            "flops_per_execution_step": work.flops,
            "float32_flops_per_second": product["flops_per_second"],
            "ms_by_flops": bound,
            "share": {count: _shares(engines[str(count)], bound) for count in COUNTS},
        },
        "epochs": epochs,
        "progress": progress,
    }


def _shares(engines: dict[str, dict[str, float]], bound: float) -> dict[str, float]:
    return {name: bound / found["ms_per_execution_step"] for name, found in engines.items()}


def _paper(images_per_second: float, batch: int) -> dict[str, Any]:
    steps = paper_work.steps_by_preset()
    hours = {name: count * batch / images_per_second / 3600 for name, count in steps.items()}
    return {"execution_steps": sum(steps.values()), "hours": sum(hours.values()), "hours_by_preset": hours}


def _report(figures: dict[str, Any], out: Path) -> int:
    multiplies, ratio = figures["processor_multiplies_bfloat16"], figures["ratio_to_naive"]
    reached = ratio >= TARGET_RATIO
    figures["targets"] = {
        f"at least {TARGET_RATIO} × the naive loop, where the processor multiplies bfloat16": {
            "found": ratio,
            "reached": reached,
            "processor_multiplies_bfloat16": multiplies,
        }
    }
    medians = figures["medians"].items()
    print(table(["", "images/s"], [[name, found["images_per_second"]] for name, found in medians]), "\n")
    print(_engines_table(figures), "\n")
    epochs, progress, paper = figures["epochs"], figures["progress"], figures["paper"]
    print(table(["images", "epoch s"], epochs["seconds_by_images"].items()), f"\n\nline: {epochs['line']}")
    print(
        f"telling progress: {progress['overhead_pct']:+.2f} % by trainings in turn, "
        f"{progress['check_share_pct']:.4f} % by the check alone"
    )
    print(f"peak memory of a training process: {figures['peak_rss_mib']:,.0f} MiB")
    print(f"the whole paper on this machine: {paper['hours']:,.0f} hours")
    words = "has" if multiplies else "lacks"
    verdict = "reached" if reached else "MISSED"
    print(f"{verdict}: {ratio:.2f} × the naive loop (target {TARGET_RATIO}); this processor {words} bfloat16")
    print(f"Kept in {keep('train_cpu', figures, out)}")
    return 0 if reached or not multiplies else 1


def _engines_table(figures: dict[str, Any]) -> str:
    rows = [
        [int(count), name, found["ms_per_execution_step"], found["images_per_second"], share]
        for count, shares in figures["bound"]["share"].items()
        for name, share in shares.items()
        for found in [figures["engines"][str(count)][name]]
    ]
    return table(["at once", "engine", "ms an execution-step", "images/s", "share of the bound"], rows)


if __name__ == "__main__":
    sys.exit(main())
