"""`python -m tests.deployment.lab --compose "docker compose"`: what docker-compose.yml promises, on a real engine.

From nothing to a classified image over HTTP with a key; killed containers; down and up again; one worker against two; an
upgrade from an earlier version, and back. Prints a table and writes it with date, hardware and versions. It has a project of
its own, `noisegate-lab`, of which nothing is left; it takes port 8000.
"""

import argparse
import json
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.deployment import steps
from tests.deployment.engine import Lab
from tests.faults.report import machine

PARTS = ("life", "scaling", "upgrade")


def main() -> int:
    asked = _arguments()
    lab = Lab(shlex.split(asked.compose), "lab", asked.url, Console(width=160), [])
    old = replace(lab, compose=shlex.split(asked.previous), version="lab-previous") if asked.previous else None
    well = True
    for part in [asked.only] if asked.only else PARTS:
        if part == "upgrade" and old is None:
            continue
        lab.rows.clear()
        try:
            match part:
                case "life":
                    _life(lab)
                case "scaling":
                    _scaling(lab)
                case "upgrade":
                    assert old is not None, "it was asked for"
                    _upgrade(old, lab, asked.previous_is)
        finally:
            lab.step("down, volumes too", lambda: steps.gone(lab))
            _report(lab, part, asked.json)
        well = well and all(row.kept for row in lab.rows)
    return 0 if well else 1


def _life(lab: Lab) -> None:
    # What the first ones make, all others need.
    if not (
        lab.step("build both images", lambda: steps.built(lab))
        and lab.step("up without a key", lambda: steps.refused(lab))
        and lab.step("make a key", lambda: steps.key_made(lab))
        and lab.step("up", lambda: steps.came_up(lab))
        and lab.step("digits", lambda: steps.digits(lab))
    ):
        return
    lab.step("no key, no answer", lambda: steps.closed(lab))
    lab.step("images", lambda: steps.slim(lab))
    lab.step("worker, broker and database killed (SIGKILL), each followed by up", lambda: steps.killed(lab))
    lab.step("main process of the worker killed: the engine starts it again", lambda: steps.crashed(lab))
    lab.step("down, up", lambda: steps.down_and_up(lab))
    lab.step("copy of all files", lambda: steps.copied(lab))


def _scaling(lab: Lab) -> None:
    if lab.step("from nothing to a classified digit", lambda: steps.begun(lab)):
        for number in (1, 2):
            lab.step(f"table-3 at scale smoke, one and two workers, round {number}", lambda: steps.scaled(lab))


def _upgrade(old: Lab, lab: Lab, previous: str) -> None:
    if lab.step(f"upgrade from {previous}", lambda: steps.upgraded(old, lab)):
        lab.step("and back to it", lambda: steps.rolled_back(old, lab))


def _report(lab: Lab, part: str, path: Path | None) -> None:
    """Print the part's table; in the file it takes the place of what the same part left there before."""
    table = Table("step", "seconds", "kept", "outcome", title=part)
    for row in lab.rows:
        table.add_row(row.step, f"{row.seconds:.1f}", "yes" if row.kept else "NO", row.outcome)
    lab.console.print(table)
    if path:
        document = json.loads(path.read_text()) if path.exists() else {}
        engine = lab.run("version", "--short").strip()
        document[part] = {"machine": machine(), "compose": engine, "rows": [asdict(row) for row in lab.rows]}
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compose", default="docker compose", help="the command, with its options, in its folder")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where NOISEGATE_PUBLISH puts the service")
    parser.add_argument(
        "--previous", help="the same command for the tree of an earlier version, with the same secrets/"
    )
    parser.add_argument("--previous-is", default="an earlier version", help="what to call that version")
    parser.add_argument("--only", choices=PARTS, help="one part; the life comes first, as it builds the images anew")
    parser.add_argument("--json", type=Path, help="where to write the table, with date, hardware and versions")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
