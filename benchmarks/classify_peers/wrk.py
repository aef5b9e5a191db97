"""Load by wrk: one thread, 16 connections that each ask again as soon as they are answered."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classify_peers.servers import pinned_to

CONNECTIONS = 16
MISSING = (
    "wrk is not installed. It makes the load: `apt install wrk` (Debian, Ubuntu), `dnf install wrk` (Fedora), "
    "`brew install wrk`, or build it from github.com/wg/wrk."
)

# Statuses from 400 are counted by wrk itself: a Lua function called for every answer would cost the load generator half of
# its speed. What a server answers at all is checked before and after the load.
_SCRIPT = """
local requests, turn = {}, 0

function init(args)
  for number = 0, %(count)d - 1 do
    local file = assert(io.open(string.format("%(folder)s/%%02d", number), "rb"))
    requests[number + 1] = wrk.format("POST", nil, {%(headers)s}, file:read("*a"))
    file:close()
  end
end

function request()
  turn = turn %% #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'FIGURES {"requests": %%d, "seconds": %%f, "p50": %%f, "p90": %%f, "p99": %%f, "refused": %%d, "broken": %%d}\\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw: answers that were no error, in all and a second; percentiles; answers from 400; broken connections."""

    answered: int
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    refused: int
    broken: int


def wrk_version() -> str:
    """As wrk tells it; ends the program with what to install if there is none."""
    if shutil.which("wrk") is None:
        sys.exit(MISSING)
    return subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split(" Copyright")[0]


def write_script(path: Path, folder: Path, content_type: str, headers: Mapping[str, str] | None = None) -> None:
    """A Lua script that cycles through the files of `folder`."""
    count = sum(1 for _ in folder.iterdir())
    sent = {"Content-Type": content_type, **(headers or {})}
    as_lua = ", ".join(f'["{name}"] = "{value}"' for name, value in sent.items())
    path.write_text(_SCRIPT % {"count": count, "folder": folder, "headers": as_lua})


def load(url: str, script: Path, seconds: int, cores: Sequence[int], connections: int = CONNECTIONS) -> Load:
    """Put load on `url` for so long, from one of these cores at a time."""
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency"]
    ended = subprocess.run(
        [*command, "--script", str(script), url],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=pinned_to(*cores),
    )
    line = next(line for line in ended.stdout.splitlines() if line.startswith("FIGURES "))
    found = json.loads(line.removeprefix("FIGURES "))
    answered = found["requests"] - found["refused"]
    return Load(
        answered=answered,
        per_second=round(answered / found["seconds"], 1),
        p50_ms=round(found["p50"], 2),
        p90_ms=round(found["p90"], 2),
        p99_ms=round(found["p99"], 2),
        refused=found["refused"],
        broken=found["broken"],
    )
