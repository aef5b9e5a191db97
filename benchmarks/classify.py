"""POST /classify beside other ways to serve the same model: one core for the server, wrk on another.

    python benchmarks/classify.py [--photographs TAR] [--seconds 15] [--rounds 3] [--peers .venv-peers] [--install-peers]
        [--before CHECKOUT] [--only noisegate "noisegate, before" …] [--model FOLDER]

JPEG files of 32 × 32 are sent to a network of ours; with --photographs, of 640 × 480 to a layer on the embedded backbone, which
takes 224 × 224. plain is FastAPI with PyTorch, bare FastAPI with ONNX Runtime, bound a decoder, resizing and the network in a loop
without HTTP (the faster of batches of 1 and 16): with the decoder that Noisegate has, and with Pillow, as all others have it.
LitServe and BentoML serve the same ONNX file, and of the backbone PyTorch's network besides; they take part where they are
installed: --install-peers puts them, pinned, into environments of their own; of their settings the fastest in a trial is taken.
Rounds go through all servers in turn; the table shows medians, ratios are taken
within rounds, of answers a second, and of answers in a second of processor time. With --before an earlier version takes part, from
another checkout; --only leaves others out; --model keeps the model, or uses the one that is there. Exits with 1 if a target is
missed.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classify_peers.bodies import Bodies, write_bodies
from classify_peers.installation import prepare
from classify_peers.line_up import FORM_FIELDS, NOISEGATE_VARIANTS, Entrant, line_up, peer_versions
from classify_peers.onnx_model import OnnxModel
from classify_peers.servers import HERE, Server, check_answers, import_path, pinned_to, started
from classify_peers.subjects import Subject, photographs, scans
from classify_peers.wrk import CONNECTIONS, load, write_script, wrk_version
from record import keep
from rich.table import Table

from noisegate.client.show import console_for

WARM_UP_SECONDS = 3
BOUND, PILLOW_BOUND = "bound", "bound, Pillow"
OURS = next(iter(NOISEGATE_VARIANTS))
# One round: what was measured of each server that took part.
Round = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Bench:
    """Where and for how long everything is measured."""

    bodies: Bodies
    model_dir: Path
    folder: Path
    server_core: int
    load_core: int

    def measure(self, server: Server, seconds: int) -> dict[str, float]:
        """Start, check, warm up, load, weigh, check again, end."""
        folder, content_type = self.bodies.kind(server.field)
        script = self.folder / "load.lua"
        write_script(script, folder, content_type)
        with started(server, self.bodies, [self.server_core], self.folder) as up:
            load(up.url, script, WARM_UP_SECONDS, [self.load_core])
            up.settle()
            before = up.cpu_seconds()
            found = load(up.url, script, seconds, [self.load_core])
            used = up.cpu_seconds() - before
            memory = up.memory()
            check_answers(server, up, self.bodies)
        # On a core that others use too, this says more than the rate does.
        return {**vars(found), "cpu_us": round(1e6 * used / max(1, found.answered), 1), **memory}

    def bounds(self, seconds: int) -> Round:
        """Images a second without HTTP, by batch size and at best: with the quickest decoder, and with Pillow."""
        command = [sys.executable, "-m", "classify_peers.bound", str(self.bodies.kind(None)[0]), str(seconds)]
        environment = {**os.environ, "PYTHONPATH": import_path(), "CLASSIFY_MODEL": str(self.model_dir)}
        pin = pinned_to(self.server_core)
        ended = subprocess.run(command, stdout=subprocess.PIPE, env=environment, preexec_fn=pin, check=True)
        found: dict[str, dict[str, dict[str, float]]] = json.loads(ended.stdout)
        # By processor time, as another program's turn on the core would decide otherwise.
        fastest = {name: min(paces.values(), key=lambda pace: pace["cpu_us"]) for name, paces in found.items()}
        best = min(fastest, key=lambda decoder: fastest[decoder]["cpu_us"])
        return {
            name: {
                **{key: round(value, 1) for key, value in fastest[decoder].items()},
                **{f"batch_{size}": round(pace["per_second"], 1) for size, pace in found[decoder].items()},
            }
            for name, decoder in ((BOUND, best), (PILLOW_BOUND, "pillow"))
        }


def main() -> int:
    asked = _options()
    # Ended from outside, it must still end its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wrk = wrk_version()
    if asked.install_peers:
        subprocess.run([HERE / "install.sh", asked.peers, sys.executable], check=True)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("Two cores are needed, one for the server and one for the load.")
    load_average = os.getloadavg()[0]
    subject = photographs(asked.photographs) if asked.photographs else scans()
    with tempfile.TemporaryDirectory(prefix="noisegate-classify-") as name:
        folder = Path(name)
        kept = (asked.model or folder).absolute()
        data_dir, model_dir = prepare(subject, kept)
        bodies = write_bodies(folder / "bodies", OnnxModel(model_dir), subject.images(), FORM_FIELDS)
        bench = Bench(bodies, model_dir, folder, *cores[:2])
        entrants = [
            entrant
            for entrant in line_up(
                data_dir, model_dir, asked.peers.absolute(), asked.before, on_backbone=subject.on_backbone
            )
            if asked.only is None or entrant.name in asked.only
        ]
        chosen, trials = _choose(bench, entrants, max(2, asked.seconds // 3))
        rounds = [_round(bench, chosen, asked.seconds, number + 1) for number in range(asked.rounds)]
        files = {
            "sent": {"files": subject.sent, "mean_bytes": bodies.mean_bytes},
            "onnx_mb": round((model_dir / "model.onnx").stat().st_size / 1e6, 2),
        }
    figures = {
        "command": f"python benchmarks/classify.py {'--photographs ARCHIVE ' if asked.photographs else ''}"
        f"--seconds {asked.seconds} --rounds {asked.rounds}",
        **files,
        "load": {"generator": wrk, "connections": CONNECTIONS, "threads": 1, "warm_up_seconds": WARM_UP_SECONDS},
        "load_average_before": round(load_average, 2),
        "peer_versions": peer_versions(asked.peers.absolute()),
        "not_installed": [entrant.name for entrant in entrants if not entrant.candidates],
        "trials": trials,
        "settings": {server.name: server.settings for server in chosen if server.settings},
        "medians": _medians(rounds),
        "ratios": _ratios(rounds),
        "cpu_ratios": _cpu_ratios(rounds),
        "rounds": rounds,
    }
    return _report(subject, figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, help="tar of <class>/<file>, JPEGs of 128 × 128: serve a backbone")
    parser.add_argument("--seconds", type=int, default=15, help="of load on each server in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers"), help="where LitServe and BentoML live")
    parser.add_argument("--install-peers", action="store_true", help="put them there first")
    parser.add_argument("--before", type=Path, help="checkout of an earlier version, to compare with")
    parser.add_argument("--only", nargs="+", help="names of those that take part, this version's among them")
    parser.add_argument("--model", type=Path, help="folder for the trained model; used again if there is one")
    return parser.parse_args()


def _choose(
    bench: Bench, entrants: list[Entrant], seconds: int
) -> tuple[list[Server], dict[str, dict[str, dict[str, float]]]]:
    """The candidate of each entrant that answers most, and what every candidate reached."""
    chosen: list[Server] = []
    trials: dict[str, dict[str, dict[str, float]]] = {}
    for name, candidates in ((entrant.name, entrant.candidates) for entrant in entrants):
        if len(candidates) <= 1:
            chosen += candidates
            continue
        trials[name] = {}
        for server in candidates:
            trials[name][server.settings] = found = bench.measure(server, seconds)
            print(f"trial: {name}, {server.settings}: {found['per_second']:,.0f} a second")
        reached = trials[name]
        chosen.append(max(candidates, key=lambda server: reached[server.settings]["per_second"]))
    return chosen, trials


def _round(bench: Bench, servers: list[Server], seconds: int, number: int) -> Round:
    found: Round = {}
    for server in servers:
        found[server.name] = bench.measure(server, seconds)
        print(f"round {number}: {server.name}: {found[server.name]['per_second']:,.0f} a second")
    for name, bound in bench.bounds(seconds).items():
        found[name] = bound
        print(f"round {number}: {name}: {bound['per_second']:,.0f} a second")
    return found


def _medians(rounds: list[Round]) -> Round:
    return {
        name: {key: round(statistics.median(each[name][key] for each in rounds), 2) for key in first}
        for name, first in rounds[0].items()
    }


def _ratios(rounds: list[Round]) -> dict[str, float]:
    """Noisegate's answers a second over those of each other; the median of what it is within each round."""
    others = [name for name in rounds[0] if name != OURS]
    return {
        name: round(statistics.median(each[OURS]["per_second"] / each[name]["per_second"] for each in rounds), 3)
        for name in others
    }


def _cpu_ratios(rounds: list[Round]) -> dict[str, float]:
    """The same of answers in a second of processor time, which is what an idle core gives."""
    others = [name for name in rounds[0] if name != OURS]
    return {
        name: round(statistics.median(each[name]["cpu_us"] / each[OURS]["cpu_us"] for each in rounds), 3)
        for name in others
    }


def _targets(subject: Subject, figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every target by what it says: what was found, and whether it was reached; null where nothing was measured."""
    wanted = subject.targets
    ratios = figures["cpu_ratios" if wanted.by_processor_time else "ratios"]
    ours = figures["medians"][OURS] | {"onnx_mb": figures["onnx_mb"]}
    found = {
        f"at least {target:g} × {name}": (ratios.get(name), name in ratios and ratios[name] >= target)
        for name, target in wanted.ratios.items()
    }
    for names, target in wanted.of_best.items():
        # Of the best one, this is the least; of one that is missing, nothing can be said.
        least = min((ratios[name] for name in names), default=None) if ratios.keys() >= set(names) else None
        found[f"at least {target:g} × the best of {', '.join(names)}"] = (least, least is not None and least >= target)
    for name, bound in wanted.below.items():
        found[f"{name} below {bound:g}"] = (ours[name], ours[name] < bound)
    errors = sum(each[OURS]["refused"] + each[OURS]["broken"] for each in figures["rounds"])
    found["no request failed"] = (errors, errors == 0)
    return {
        words: {"found": value, "reached": None if value is None else reached}
        for words, (value, reached) in found.items()
    }


def _report(subject: Subject, figures: dict[str, Any]) -> int:
    console = console_for()
    targets = _targets(subject, figures)
    console.print(_table(figures))
    words = {True: "reached", False: "MISSED", None: "not measured"}
    for name, target in targets.items():
        console.print(f"{words[target['reached']]:>12}  {name}: {target['found']}")
    console.print(f"Kept in {keep(subject.kept, {**figures, 'targets': targets})}")
    return 1 if any(target["reached"] is False for target in targets.values()) else 0


def _table(figures: dict[str, Any]) -> Table:
    table = Table(
        title=f"POST /classify of {figures['sent']['files']}, {CONNECTIONS} connections, one core; "
        f"medians of {len(figures['rounds'])} rounds"
    )
    table.add_column("server")
    for heading in (
        "a second",
        f"{OURS} is",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "CPU µs",
        "by CPU",
        "failed",
        "RSS MiB",
        "peak",
        "PSS MiB",
    ):
        table.add_column(heading, justify="right")
    table.add_column("settings")
    for name, found in figures["medians"].items():
        ratio = figures["ratios"].get(name)
        latencies = [f"{found[key]:.1f}" if key in found else "" for key in ("p50_ms", "p90_ms", "p99_ms")]
        cpu = f"{found['cpu_us']:.0f}" if "cpu_us" in found else ""
        failed = f"{found['refused'] + found['broken']:.0f}" if "refused" in found else ""
        memory = [f"{found[key]:.0f}" if key in found else "" for key in ("rss_mib", "peak_rss_mib", "pss_mib")]
        settings = figures["settings"].get(name, "")
        shown = "" if ratio is None else f"{ratio:.2f} ×"
        by_cpu = figures["cpu_ratios"].get(name)
        shown_by_cpu = "" if by_cpu is None else f"{by_cpu:.2f} ×"
        row = (f"{found['per_second']:,.0f}", shown, *latencies, cpu, shown_by_cpu, failed, *memory, settings)
        table.add_row(name, *row)
    for name in figures["not_installed"]:
        table.add_row(name, "not installed")
    return table


if __name__ == "__main__":
    sys.exit(main())
