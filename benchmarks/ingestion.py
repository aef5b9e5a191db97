"""What reading and packing an upload costs, beside an earlier version.

    python benchmarks/ingestion.py ARCHIVE.tar.xz [--before CHECKOUT] [--rounds 3]

The archive holds train/<class>/<image> and test/<class>/<image>, such as CIFAR-10 as 60,000 JPEGs. It is packed at 32 pixels
from tar.xz, from a zip and from Parquet, also by the version in another checkout (`git worktree add --detach CHECKOUT 052a318`),
taking turns; what both make has one hash. Then, once, 200,000 files in 2,000 classes. Every packing has a process of its own,
and memory is that of this process and of the one that decodes beside it, at their peaks. Two idle cores, or times say
nothing: the unpacking of this version overlaps with decoding. Exits with 1 if a target is missed: 1.5 × as fast as the earlier
version, and 400 MiB.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ingestion_parts import archives
from record import RESULTS, keep
from train_parts.markdown import table

TARGET_RATIO = 1.5
TARGET_MIB = 400
CLASSES, PER_CLASS = 2_000, 100

_HERE = Path(__file__).parent
# What one packing took (ingestion_parts/one_packing.py).
Took = dict[str, Any]


def main() -> int:
    asked = _options()
    figures: dict[str, Any] = {
        "command": f"python benchmarks/ingestion.py {asked.archive.name} --rounds {asked.rounds}",
        "load_average_before": round(os.getloadavg()[0], 2),
        "before": _version(asked.before) if asked.before else None,
    }
    with tempfile.TemporaryDirectory(prefix="noisegate-ingestion-") as name:
        rounds = _rounds(asked, Path(name))
        # The largest one once: it has no earlier figure to stand beside.
        path = archives.many_classes(asked.archive, Path(name) / "many.zip", CLASSES, PER_CLASS)
        figures["many_classes"] = _pack(_HERE.parent, path, "200,000 files in 2,000 classes")
    figures |= {"medians": _medians(rounds), "rounds": rounds}
    figures["load_average_after"] = round(os.getloadavg()[0], 2)
    return _report(figures, asked.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), help="a checkout of an earlier version")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "ingestion.json")
    return parser.parse_args()


def _version(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _rounds(asked: argparse.Namespace, folder: Path) -> list[dict[str, Took]]:
    tar = folder / "images.tar.xz"
    tar.write_bytes(asked.archive.read_bytes())
    packed = {
        "tar.xz": tar,
        "zip": archives.as_zip(tar, folder / "images.zip"),
        "Parquet": archives.as_parquet(tar, folder),
    }
    now, before = _HERE.parent.resolve(), asked.before
    rounds = []
    for number in range(1, asked.rounds + 1):
        found = {}
        for kind, path in packed.items():
            for version, checkout in (("before", before), ("now", now)) if before else (("now", now),):
                found[f"{kind}, {version}"] = _pack(checkout, path, f"round {number}: {kind}, {version}")
            hashes = {took["hash"] for name, took in found.items() if name.startswith(kind)}
            assert len(hashes) == 1, "both versions make the same of it"
        rounds.append(found)
    return rounds


def _pack(checkout: Path, archive: Path, words: str) -> Took:
    script = _HERE / "ingestion_parts" / "one_packing.py"
    run = subprocess.run(
        [sys.executable, script, checkout.resolve(), archive],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(checkout.resolve())},
    )
    took: Took = json.loads(run.stdout)
    print(
        f"{words}: {took['wall_seconds']:.1f} s, {took['cpu_seconds']:.1f} s of CPU, {took['peak_rss_mib']:.0f} MiB",
        flush=True,
    )
    return took


def _medians(rounds: list[dict[str, Took]]) -> dict[str, dict[str, float]]:
    names = ("wall_seconds", "cpu_seconds", "peak_rss_mib")
    return {
        kind: {name: round(statistics.median(one[kind][name] for one in rounds), 2) for name in names}
        for kind in rounds[0]
    }


def _ratios(rounds: list[dict[str, Took]]) -> dict[str, float]:
    """How many times as fast as before, within rounds: the median."""
    kinds = [name.removesuffix(", before") for name in rounds[0] if name.endswith(", before")]
    return {
        kind: statistics.median(
            one[f"{kind}, before"]["wall_seconds"] / one[f"{kind}, now"]["wall_seconds"] for one in rounds
        )
        for kind in kinds
    }


def _report(figures: dict[str, Any], out: Path) -> int:
    ratios, medians, many = _ratios(figures["rounds"]), figures["medians"], figures["many_classes"]
    most_mib = max([many["peak_rss_mib"], *(found["peak_rss_mib"] for kind, found in medians.items() if "now" in kind)])
    figures["times_as_fast_as_before"] = ratios
    figures["targets"] = {
        f"{TARGET_RATIO} × as fast as before": {
            "found": ratios,
            "reached": all(ratio >= TARGET_RATIO for ratio in ratios.values()),
        },
        f"under {TARGET_MIB} MiB": {"found": most_mib, "reached": most_mib < TARGET_MIB},
    }
    rows = [[kind, *found.values()] for kind, found in medians.items()]
    rows.append(["200,000 files", many["wall_seconds"], many["cpu_seconds"], many["peak_rss_mib"]])
    print(table(["", "s", "s of CPU", "peak MiB"], rows), "\n")
    for words, target in figures["targets"].items():
        print(f"{'reached' if target['reached'] else 'MISSED'}: {words}: {target['found']}")
    print(f"Kept in {keep('ingestion', figures, out)}")
    return 0 if all(target["reached"] for target in figures["targets"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
