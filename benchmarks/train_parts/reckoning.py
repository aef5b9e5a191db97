"""What follows from the step times by arithmetic: the share of the bounds that was reached, and the whole paper's hours."""

from noisegate.learning.engines import ENGINES
from train_parts.bench import Bench, Record
from train_parts.bounds import work_of_step
from train_parts.made_up import OUTPUTS
from train_parts.step_times import best_engine, best_figures

TARGET_CELL_SECONDS = 80
_CELL_EPOCHS = 40
_CIFAR_10_IMAGES = 50_000


def bounds(bench: Bench, record: Record) -> None:
    """The time of an execution-step by arithmetic and by moved bytes alone, and each engine's share of the longer one."""
    sizes, ceilings = bench.sizes, bench.results["ceilings"]
    work = work_of_step(image_size=sizes.image_size, outputs=OUTPUTS, batch=sizes.batch)
    record |= {"flops_per_execution_step": work.flops, "bytes_per_execution_step": work.bytes}
    of_flops = 1000 * work.flops / (1e12 * ceilings["bfloat16_tflops"])
    of_bytes = 1000 * work.bytes / (1e9 * ceilings["copied_gb_per_second"])
    record |= {"ms_by_flops": of_flops, "ms_by_bytes": of_bytes}
    row = bench.results["steps"][str(sizes.most)]
    measured = {name: row[name]["ms_per_execution_step"] for name in ENGINES if "ms_per_step" in row.get(name, {})}
    record["share_of_flops_bound"] = {name: of_flops / ms for name, ms in measured.items()}
    record["share_of_bytes_bound"] = {name: of_bytes / ms for name, ms in measured.items()}
    record["share_of_longer_bound"] = {name: max(of_flops, of_bytes) / ms for name, ms in measured.items()}


def projection(bench: Bench, record: Record) -> None:
    """Hours of the whole paper, and seconds of one cell, by the best engine's time."""
    best = best_figures(bench)
    if best is None:
        record["not_measured"] = "no step time to go by"
        return
    ms, updates = best["ms_per_execution_step"], _CIFAR_10_IMAGES // bench.sizes.batch
    record |= {
        "engine": best_engine(bench),
        "executions_at_once": bench.sizes.most,
        "cell_seconds": ms * updates * _CELL_EPOCHS * 50 / 1000,
        "cell_target_seconds": TARGET_CELL_SECONDS,
    }
    from train_parts import paper_work  # needs PyYAML, which a bare PyTorch lacks

    steps = paper_work.steps_by_preset()
    record |= {
        "execution_steps": sum(steps.values()),
        "execution_steps_by_preset": steps,
        "hours": sum(steps.values()) * ms / 3.6e6,
        "hours_by_preset": {name: count * ms / 3.6e6 for name, count in steps.items()},
    }
