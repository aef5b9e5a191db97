"""Does the suite notice? `make mutations` breaks the code in one place after another, in a copy, and runs the tests meant for it.

Exit status 0: what `make test` runs notices every one; 1: it does not. A mutation whose text is not found exactly once is an
error, not a catch: code that has moved on must bring its mutation along. Some ten minutes on two cores.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What pytest exits with: all passed, some failed.
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True)
class Mutation:
    """One text for another in one file; `tests` are those of `make test` that are to fail, any of them."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "a fence that forgets the attempt",
        "noisegate/store/leases.py",
        "        table.attempt == lease.attempt,\n",
        "",
        ("tests/store/test_leases.py",),
    ),
    Mutation(
        "the noise class one off",
        "noisegate/learning/cells.py",
        "labels = np.full(len(inputs), len(data.classes), dtype=np.int64)",
        "labels = np.full(len(inputs), len(data.classes) - 1, dtype=np.int64)",
        ("tests/learning/test_cells.py",),
    ),
    Mutation(
        "the holdout is trained on",
        "noisegate/learning/cells.py",
        "held, kept = np.flatnonzero(mask), np.flatnonzero(~mask)",
        "held, kept = np.flatnonzero(mask), np.arange(len(mask))",
        ("tests/learning/test_cells.py",),
    ),
    Mutation(
        "quantiles rounded down",
        "noisegate/rejection/calibration.py",
        "-(-level * scores.size // (_LEVELS - 1))",
        "level * scores.size // (_LEVELS - 1)",
        ("tests/rejection/test_calibration.py",),
    ),
    Mutation(
        "leases renewed as if nobody had cancelled",
        "noisegate/store/executions.py",
        "may_go_on=all(row.state is not State.CANCELLING for row in rows)",
        "may_go_on=True",
        ("tests/store/test_experiments.py", "tests/store/test_leases.py", "tests/worker/test_training.py"),
    ),
    Mutation(
        "a wake-up before the commit",
        "service/experiments/routes.py",
        "background.add_task(_announce, resources, answer, ",
        "_announce(resources, answer, ",
        ("tests/service/test_experiments.py", "tests/service/test_app.py"),
    ),
    Mutation(
        "archives whose paths leave it",
        "noisegate/data/names.py",
        'if composed.startswith("/") or ".." in parts or _DRIVE.match(path):',
        "if False:",
        ("tests/data/test_archives.py",),
    ),
    Mutation(
        "JPEGs of any size",
        "noisegate/inference/decoding.py",
        "        _check_pixels(quick_size, limits)\n",
        "",
        ("tests/inference/test_decoding.py", "tests/inference/test_fast_jpeg.py"),
    ),
    Mutation(
        "a route that needs no key",
        "service/access.py",
        "if path in _SIGNING or ((path in PUBLIC or path.startswith(_FOR_ALL)) and method in READING):",
        'if path in (*_SIGNING, "/experiments") or ((path in PUBLIC or path.startswith(_FOR_ALL)) and method in READING):',
        ("tests/service/test_authorisation.py",),
    ),
    Mutation(
        "an idempotency key that is ignored",
        "service/idempotency.py",
        "if self.request is None:",
        "if True:",
        ("tests/service/test_idempotency.py",),
    ),
    Mutation(
        "Welch's degrees of freedom by n",
        "service/results/statistics.py",
        "(ours_squared**2 / (ours.n - 1) + theirs_squared**2 / (theirs.n - 1))",
        "(ours_squared**2 / ours.n + theirs_squared**2 / theirs.n)",
        ("tests/service/test_statistics.py",),
    ),
    Mutation(
        "a checkpoint without its momentum",
        "noisegate/learning/checkpoints.py",
        "key: moments[prefix + name] for key, prefix",
        "key: torch.zeros_like(moments[prefix + name]) for key, prefix",
        ("tests/learning/test_checkpoints.py",),
    ),
    Mutation(
        "a checkpoint whose order is drawn anew",
        "noisegate/learning/checkpoints.py",
        "state.batches.order, state.batches.position = order, header.position",
        "state.batches.position = header.position",
        ("tests/learning/test_checkpoints.py",),
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="WORD", help="those whose name has this in it")
    asked = parser.parse_args()
    wanted = [one for one in MUTATIONS if not asked.only or any(word in one.name for word in asked.only)]
    with tempfile.TemporaryDirectory(prefix="ng-mutated-") as folder:
        tree = Path(folder)
        _copy_tree(tree)
        if (code := _run(tree, sorted({test for one in wanted for test in one.tests}))) != _PASSED:
            print(f"the tests fail before anything is broken (pytest exits with {code})")
            return 1
        missed = [one for one in wanted if not _is_caught(tree, one)]
    print(f"{len(wanted) - len(missed)} of {len(wanted)} caught")
    return 1 if missed else 0


def _copy_tree(to: Path) -> None:
    """What git would commit, changes that are not committed yet included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)


def _is_caught(tree: Path, mutation: Mutation) -> bool:
    whole = (tree / mutation.file).read_text()
    if whole.count(mutation.old) != 1:
        sys.exit(f"{mutation.name}: {mutation.file} has the text {whole.count(mutation.old)} times")
    (tree / mutation.file).write_text(whole.replace(mutation.old, mutation.new))
    try:
        code = _run(tree, mutation.tests, "--exitfirst")
    finally:
        (tree / mutation.file).write_text(whole)
    told = {_PASSED: "NOT CAUGHT", _FAILED: "caught"}.get(code, f"NOT RUN (pytest exits with {code})")
    print(f"{told}: {mutation.name} ({mutation.file})", flush=True)
    return code == _FAILED


def _run(tree: Path, tests: Iterable[str], *options: str) -> int:
    """What pytest exits with, of the tests that `make test` would run of these files, in the copy."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "not nightly",
        "-p",
        "no:cacheprovider",
        "--quiet",
        *options,
        *tests,
    ]
    # The copy goes before what is installed, and what is compiled of one mutation is not taken for the next.
    environment = os.environ | {"PYTHONPATH": str(tree), "CI": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if ended.returncode not in (_PASSED, _FAILED):
        print(ended.stdout[-3000:])
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
