"""Beside the naive loop, measured in the same run."""

import os
import tempfile
from pathlib import Path

from train_parts import naive
from train_parts.bench import Bench, Record
from train_parts.made_up import OUTPUTS, jpegs_in
from train_parts.step_times import best_engine, best_figures

MOST_WORKERS = 8
TARGET_RATIO = 100
TARGET_MS = 0.1


def measure(bench: Bench, record: Record) -> None:
    """Images a second of the naive loop."""
    sizes = bench.sizes
    with tempfile.TemporaryDirectory(prefix="noisegate-naive-") as name:
        record |= naive.measure(
            jpegs_in(Path(name), bench.archive, sizes),
            bench.device,
            workers=min(MOST_WORKERS, os.cpu_count() or 1),
            batch=sizes.batch,
            image_size=sizes.image_size,
            outputs=OUTPUTS,
            seconds=sizes.naive_seconds,
            warm_up_images=sizes.naive_files,
        )
    record["files"] = "the archive's" if bench.archive else f"{sizes.naive_files} made up"


def targets(bench: Bench) -> Record:
    """Every target by what it says: what was found, and whether it was reached; null where nothing was measured."""
    ours, loop = best_figures(bench), bench.results.get("naive", {}).get("images_per_second")
    ratio = ours["images_per_second"] / loop if ours and loop else None
    ms = ours["ms_per_execution_step"] if ours else None
    return {
        f"at least {TARGET_RATIO} × the naive loop": {
            "found": ratio,
            "reached": None if ratio is None else ratio >= TARGET_RATIO,
        },
        f"at most {TARGET_MS} ms an execution-step": {"found": ms, "reached": None if ms is None else ms <= TARGET_MS},
        "measured with": f"{best_engine(bench)}, {bench.sizes.most} at once",
    }
