"""The running service against its own OpenAPI: `python -m tests.faults.conformance [--examples N] [--json FILE]`.

schemathesis draws requests, valid and invalid, for every operation, and follows the links from one to the next. No answer may
be a 5xx, have a status or a header that the document does not name, or a body that is not of its schema.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests import reaper
from tests.faults import report
from tests.faults.system import System, running
from tests.service.factories import ready_dataset, served_model

LEAST_CASES = 2_000
# Only the server can judge some values that fit the schema: a cursor it never gave, a sweep of a field that the spec lacks.
_NOT_JUDGED = "positive_data_acceptance"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.conformance", description=__doc__)
    parser.add_argument("--examples", type=int, default=40, help="at most so many requests an operation and phase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write the counts")
    asked = parser.parse_args()
    reaper.watch()  # killed, it leaves nothing behind
    for name in [name for name in os.environ if name.startswith("NOISEGATE_")]:
        del os.environ[name]
    with running("postgresql") as system, tempfile.TemporaryDirectory() as folder:
        _furnish(system)
        code = _explore(system.service.url, Path(folder) / "run.json", asked.examples, asked.seed)
        found = json.loads((Path(folder) / "run.json").read_text())
    cases: int = found["test_cases"]["generated"]
    Console().print(f"{cases} cases, schemathesis ended with {code}")
    if asked.json:
        counts = {"machine": report.machine(), "seed": asked.seed, "cases": cases, "exit_code": code}
        asked.json.write_text(json.dumps(counts, indent=2) + "\n")
    return code or int(cases < LEAST_CASES)


def _furnish(system: System) -> None:
    """Something of every kind, so that requests find what they ask for."""
    with system.sessions.begin() as session:
        ready_dataset(session, system.artefacts)
    served_model(system.sessions, system.artefacts, logits=(0.0, 5.0, 1.0))
    system.service.start()


def _explore(url: str, file: Path, examples: int, seed: int) -> int:
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/openapi.json"]
    command += ["--checks=all", f"--exclude-checks={_NOT_JUDGED}", f"--max-examples={examples}", f"--seed={seed}"]
    command += ["--report=json", f"--report-json-path={file}", "--generation-database=none", "--continue-on-failure"]
    command += ["--suppress-health-check=all", "--warnings=off", "--no-color"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
