"""What `train_gpu.py` found, as Markdown."""

from noisegate.learning.engines import ENGINES
from train_parts.bench import Record
from train_parts.markdown import table
from train_parts.sizes import GIB

_LISTED = ("ceilings", "naive", "projection", "alone_or_among", "loop", "memory_limit", "processes", "compiled")


def report(results: Record) -> str:
    """Whatever of it was measured."""
    parts = [_steps(results), _bounds(results), _epochs(results), _variants(results), _kernels(results)]
    parts += [_listed(name, results.get(name, {})) for name in _LISTED]
    return "\n\n".join(part for part in [*parts, _targets(results)] if part)


def _steps(results: Record) -> str:
    steps = results.get("steps", {})
    rows = []
    for count, row in ((name, row) for name, row in steps.items() if name.isdecimal()):
        for engine in ENGINES:
            found = row.get(engine, {})
            if "ms_per_step" not in found:
                rows.append([count, engine, found.get("failed", "")[:60], None, None, None, None])
                continue
            reckoned = found.get("reckoned_bytes")
            rows.append(
                [
                    *(count, engine, found["ms_per_step"], found["ms_per_execution_step"], found["images_per_second"]),
                    found["peak_reserved_bytes"] / GIB if "peak_reserved_bytes" in found else None,
                    reckoned / GIB if isinstance(reckoned, int) else None,
                ]
            )
    headings = ["at once", "engine", "ms a step", "ms an execution-step", "images/s", "peak GiB", "reckoned GiB"]
    return table(headings, rows) if rows else ""


def _bounds(results: Record) -> str:
    found = results.get("bounds", {})
    if "share_of_longer_bound" not in found:
        return _listed("bounds", found)
    rows = [
        [name, found["share_of_flops_bound"][name], found["share_of_bytes_bound"][name]]
        for name in found["share_of_longer_bound"]
    ]
    words = (
        f"An execution-step: {found['ms_by_flops']:.4g} ms by arithmetic, {found['ms_by_bytes']:.4g} ms by bytes moved."
    )
    return f"{words}\n\n{table(['engine', 'share of the bound by arithmetic', 'by bytes'], rows)}"


def _epochs(results: Record) -> str:
    found = results.get("epochs", {})
    rows = [[int(count), one["upload"], one["epoch"]] for count, one in found.get("seconds_by_images", {}).items()]
    lines = [f"{name}: {found[name]}" for name in ("line_by_images", "line_by_executions") if name in found]
    return "\n\n".join([table(["images", "upload s", "epoch s"], rows), *lines]) if rows else ""


def _variants(results: Record) -> str:
    rows = [
        [section, name, one["ms_per_step"], one["ms_per_execution_step"], one["images_per_second"]]
        for section in ("streams", "without_graph", "float32")
        for name, one in results.get(section, {}).items()
        if isinstance(one, dict) and "ms_per_step" in one
    ]
    return table(["variant", "", "ms a step", "ms an execution-step", "images/s"], rows) if rows else ""


def _kernels(results: Record) -> str:
    found = results.get("kernels", {})
    rows = [
        [one["kernel"][:70].replace("|", "¦"), one["share_pct"], one["ms_per_step"], one["calls_per_step"]]
        for one in found.get("top", [])
    ]
    return table(["kernel", "%", "ms a step", "calls a step"], rows) if rows else ""


def _listed(name: str, found: Record) -> str:
    left_out = ("execution_steps_by_preset", "hours_by_preset")
    lines = [f"- {key}: {_short(value)}" for key, value in found.items() if key not in left_out]
    return "\n".join([f"**{name}**", *lines]) if lines else ""


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(one)}" for key, one in value.items())
    return str(value)


def _targets(results: Record) -> str:
    words = {True: "reached", False: "MISSED", None: "not measured"}
    targets = results.get("targets", {})
    lines = [
        f"- {words[one['reached']]}: {name}: {_short(one['found'])}"
        for name, one in targets.items()
        if isinstance(one, dict)
    ]
    return "\n".join(["**targets**", f"- measured with {targets.get('measured with')}", *lines]) if lines else ""
