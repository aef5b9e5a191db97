"""Who takes part: command, environment and body of every server."""

import importlib.util
import json
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from classify_peers.installation import service_environment
from classify_peers.servers import HOST, Server, import_path_of

PEERS = ("litserve", "bentoml")
IN_TORCH = ", PyTorch"
BEFORE = "noisegate, before"


@dataclass(frozen=True)
class Variant:
    """The service with other settings or another query, with a package that it needs, or with one that it is not to find."""

    environment: Mapping[str, str] = field(default_factory=dict)
    needs: str | None = None
    without: str | None = None
    query: str = ""


# The first, as it is installed, is the one that targets are about.
NOISEGATE_VARIANTS = {
    "noisegate": Variant(),
    "noisegate, minimal answers": Variant(query="?fields=minimal"),
    "noisegate, Pillow alone": Variant(without="simplejpeg"),
    "noisegate, OpenVINO": Variant({"NOISEGATE_RUNTIME": "openvino"}, needs="openvino"),
}
UPLOAD_FIELD, LIST_FIELD = "file", "images"
FORM_FIELDS = {UPLOAD_FIELD, LIST_FIELD}

_UVICORN = ["-m", "uvicorn", "--host", HOST, "--port", "{port}", "--no-access-log", "--log-level", "warning"]


@dataclass(frozen=True)
class Entrant:
    """A row of the table. Of several candidates the fastest one in a trial is taken; with none, it is not installed."""

    name: str
    candidates: list[Server]


def line_up(
    data_dir: Path, model_dir: Path, peers: Path, before: Path | None = None, *, on_backbone: bool = False
) -> list[Entrant]:
    """Noisegate's variants first, then what it is compared with.

    Args:
        before: a checkout of an earlier version, which takes part with the same data and dependencies.
        on_backbone: whether the model is a layer on a backbone; then peers take part with PyTorch, too.
    """
    model = {"CLASSIFY_MODEL": str(model_dir)}
    in_torch = model | {"PEER_TORCH": sysconfig.get_path("purelib")}
    return [
        *(Entrant(server.name, [server]) for server in _noisegates(data_dir)),
        *([Entrant(BEFORE, [noisegate(data_dir, BEFORE, checkout=before)])] if before else []),
        Entrant("plain", [_fastapi("plain", "/predict", model, field=UPLOAD_FIELD)]),
        Entrant("bare", [_fastapi("bare", "/classify", model)]),
        *(_peer(peers, name, model) for name in PEERS),
        *(_peer(peers, name, in_torch, IN_TORCH) for name in PEERS if on_backbone),
    ]


def _peer(peers: Path, name: str, model: Mapping[str, str], served: str = "") -> Entrant:
    candidates = {"litserve": _litserves, "bentoml": _bentomls}[name]
    return Entrant(name + served, candidates(peers, model, name + served) if python_of(peers, name).exists() else [])


def python_of(peers: Path, name: str) -> Path:
    """The interpreter of a peer's environment, which may not be there."""
    return peers / name / "bin" / "python"


def peer_versions(peers: Path) -> dict[str, dict[str, str]]:
    """Of each installed peer: its own version, and those of what it shares with us."""
    names = [*PEERS, "onnxruntime", "numpy", "pillow", "starlette", "uvicorn"]
    script = (
        f"import json; from importlib import metadata as m; found = {{d.name.lower() for d in m.distributions()}}; \
print(json.dumps({{n: m.version(n) for n in {names!r} if n in found}}))"
    )
    installed = [(name, python_of(peers, name)) for name in PEERS]
    return {
        name: json.loads(subprocess.run([python, "-c", script], capture_output=True, check=True).stdout)
        for name, python in installed
        if python.exists()
    }


def noisegate(
    data_dir: Path, name: str = "noisegate", variant: Variant | None = None, checkout: Path | None = None
) -> Server:
    """The service as it is started for people: of this checkout or another one."""
    variant = variant or Variant()
    environment = {**service_environment(data_dir), "NOISEGATE_HOST": HOST, "NOISEGATE_PORT": "{port}"}
    imported = {"PYTHONPATH": import_path_of(checkout)} if checkout else {}
    return Server(
        name, _command(variant), f"/classify{variant.query}", {**environment, **variant.environment, **imported}
    )


def _noisegates(data_dir: Path) -> list[Server]:
    return [
        noisegate(data_dir, name, variant)
        for name, variant in NOISEGATE_VARIANTS.items()
        if variant.needs is None or importlib.util.find_spec(variant.needs)
    ]


def _command(variant: Variant) -> list[str]:
    if variant.without is None:
        return [sys.executable, "-m", "service.main"]
    # A name that stands for None cannot be imported.
    blocked = f"import runpy, sys; sys.modules[{variant.without!r}] = None"
    return [sys.executable, "-c", f"{blocked}; runpy.run_module('service.main', run_name='__main__')"]


def _fastapi(name: str, path: str, model: Mapping[str, str], field: str | None = None) -> Server:
    return Server(name, [sys.executable, *_UVICORN, f"classify_peers.{name}:app"], path, model, field)


def _litserves(peers: Path, model: Mapping[str, str], name: str) -> list[Server]:
    command = [str(python_of(peers, "litserve")), "-m", "classify_peers.peer_litserve", "{port}"]
    return [
        Server(
            name,
            command,
            "/classify",
            {**model, "PEER_BATCH": batch, "PEER_FAST_QUEUE": fast},
            settings=f"{_batching(batch)}, fast_queue={fast == '1'}",
        )
        for batch in ("1", "16")
        for fast in ("0", "1")
    ]


def _bentomls(peers: Path, model: Mapping[str, str], name: str) -> list[Server]:
    module = "classify_peers.peer_bentoml:Classify"
    command = [str(python_of(peers, "bentoml")), "-m", "bentoml", "serve", module, "--host", HOST, "--port", "{port}"]
    environment = {**model, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(Path(model["CLASSIFY_MODEL"]) / "home")}
    return [
        Server(
            name,
            command,
            "/classify",
            {**environment, "PEER_BATCH": batch},
            field,
            f"{_batching(batch)}, {body}",
        )
        for batch, field, body in (("1", None, "raw body"), ("16", LIST_FIELD, "form"))
    ]


def _batching(batch: str) -> str:
    return "no batching" if batch == "1" else f"batches up to {batch}"
