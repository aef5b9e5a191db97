"""Clients that others have written, on a running Noisegate: `make clients`.

Trains a small model of the bundled digits, asks /classify about a hundred of them, and then has each client do the same; every
probability has to be the same to the bit. Clients from the package index go into environments of their own in a temporary
folder; curl, Java and Node are used where they are there. What cannot be run is told, with the reason.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
import numpy as np
from record import keep

from noisegate.inference.decoding import ImageLimits, open_image
from noisegate.local import running as local
from noisegate.spec.derived import Fitting

ROOT = Path(__file__).parents[1]
PARTS = Path(__file__).parent / "client_parts"
DIGITS = 100
SPEC = {
    "dataset": "digits",
    "training": {"epochs": 4, "batch_size": 16, "first_layer_std": 0.1},
    "noise": {"family": "uniform"},
    "holdout": 0.1,
    "executions": 1,
}
_ENDED = ("succeeded", "failed", "cancelled")
KSERVE, MLSERVER, GENERATOR = "kserve==0.21.0", "mlserver==1.7.1", "openapi-python-client==0.29.1"
MYPY = "mypy==2.4.1"
TRACT, ONNX2TORCH, NODE_RUNTIME = "tract==0.23.9", "onnx2torch==1.5.15", "1.30.0"


@dataclass(frozen=True)
class Result:
    """What came of one client."""

    client: str
    version: str
    ran: str
    result: str
    seconds: float


class NotHere(Exception):
    """What a client needs is not on this machine."""


@dataclass(frozen=True)
class Bench:
    """Where everything is: the service, the digits with what is expected of them, and room for environments."""

    url: str
    folder: Path

    def run(self, command: list[str], **options: object) -> str:
        """What a command prints.

        Raises:
            RuntimeError: it fails.
        """
        ended = subprocess.run(command, capture_output=True, text=True, timeout=900, **options)  # type: ignore[call-overload]
        if ended.returncode:
            raise RuntimeError(f"{Path(command[0]).name}: {(ended.stderr or ended.stdout).strip()[-500:]}")
        return str(ended.stdout)

    def environment(self, name: str, *packages: str) -> str:
        """The Python of a new environment with these packages."""
        folder = self.folder / name
        self.run([sys.executable, "-m", "venv", str(folder)])
        try:
            self.run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "numpy", *packages])
        except RuntimeError as error:
            raise NotHere(f"{', '.join(packages)} does not install here: {error}") from error
        return str(folder / "bin/python")

    def beside(self, name: str, package: str) -> str:
        """The Python of a new environment with one package beside all that is installed here."""
        folder = self.folder / name
        self.run([sys.executable, "-m", "venv", str(folder)])
        python = folder / "bin/python"
        try:
            self.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", package])
        except RuntimeError as error:
            raise NotHere(f"{package} does not install here: {error}") from error
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "beside.pth").write_text(sysconfig.get_path("purelib"))
        return str(python)

    def part(self, python: str, file: str) -> tuple[str, str]:
        """The version and the deeds that a file of client_parts tells."""
        told = json.loads(self.run([python, str(PARTS / file), self.url, str(self.folder)]).splitlines()[-1])
        return told["version"], told["ran"]

    def digits(self) -> list[str]:
        return sorted(str(file) for file in self.folder.glob("*.png"))

    def check(self, answers: list[str]) -> None:
        """Compare answers of /classify with those that are expected, times aside."""
        expected = json.loads((self.folder / "decisions.json").read_text())
        for text, decision in zip(answers, expected, strict=False):
            assert json.loads(text) | {"timing": None} == decision | {"timing": None}


def triton(bench: Bench) -> tuple[str, str]:
    return bench.part(sys.executable, "peer_triton.py")


def triton_aio(bench: Bench) -> tuple[str, str]:
    return bench.part(sys.executable, "peer_triton_aio.py")


def kserve(bench: Bench) -> tuple[str, str]:
    return bench.part(bench.environment("kserve", KSERVE), "peer_kserve.py")


def mlserver(bench: Bench) -> tuple[str, str]:
    return bench.part(bench.environment("mlserver", MLSERVER), "peer_mlserver.py")


def generated(bench: Bench) -> tuple[str, str]:
    """Generated, checked by mypy but for the generator's own client.py, and used."""
    python = bench.environment("generated", GENERATOR, MYPY)
    document = bench.folder / "openapi.json"
    bench.run([sys.executable, "scripts/openapi_document.py", str(document)], cwd=ROOT)
    tools, where = str(Path(python).parent), bench.folder / "generated-client"
    where.mkdir()
    made = where / "noisegate_client"
    command = [f"{tools}/openapi-python-client", "generate", "--path", str(document), "--meta", "none"]
    config = ["--config", str(PARTS / "openapi-python-client.yml"), "--output-path", str(made)]
    said = bench.run([*command, *config], env={"PATH": f"{tools}:/usr/bin:/bin"})
    paths = json.loads(document.read_text())["paths"].values()
    operations = sum(method in ("get", "post", "put", "delete") for path in paths for method in path)
    functions = [file for file in made.glob("api/*/*.py") if file.name != "__init__.py"]
    assert len(functions) == operations, said
    checked = subprocess.run([f"{tools}/mypy", "noisegate_client"], cwd=where, capture_output=True, text=True)
    ours = [line for line in checked.stdout.splitlines() if ": error:" in line and "/client.py:" not in line]
    assert not ours, ours
    version = json.loads(
        bench.run(
            [python, str(PARTS / "peer_generated.py"), bench.url, str(bench.folder)],
            cwd=where,
            env={"PYTHONPATH": str(where)},
        )
    )
    return version[
        "version"
    ], f"{operations} of {operations} operations, mypy clean but for its own client.py; {version['ran']}"


def curl(bench: Bench) -> tuple[str, str]:
    """`curl --http2` offers h2c with the request that has the body."""
    program = _found("curl")
    ask = [program, "-sS", "--fail-with-body", "--http2", "-H", "Content-Type: image/png", "--data-binary"]
    bench.check([bench.run([*ask, f"@{file}", f"{bench.url}/classify"]) for file in bench.digits()])
    return bench.run([program, "--version"]).split()[1], "curl --http2: 100 digits by /classify"


def java(bench: Bench) -> tuple[str, str]:
    """The JDK's HttpClient, which offers h2c, too."""
    program = _found("java")
    bench.check(bench.run([program, str(PARTS / "Offers.java"), bench.url, *bench.digits()]).splitlines())
    version = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stderr.split('"')[1]
    return version, "java.net.http.HttpClient as it comes: 100 digits by /classify"


def node(bench: Bench) -> tuple[str, str]:
    """What redocly, spectral, openapi-typescript and @hey-api/openapi-ts make of the document."""
    _found("npm")
    said = bench.run(["sh", "scripts/openapi_linters.sh"], cwd=ROOT)
    return bench.run([_found("node"), "--version"]).strip(), said.strip().splitlines()[-1]


def tract(bench: Bench) -> tuple[str, str]:
    return TRACT.partition("==")[2], _lines_elsewhere(bench.beside("tract", TRACT), "Tract", {})


def onnx2torch(bench: Bench) -> tuple[str, str]:
    return ONNX2TORCH.partition("==")[2], _lines_elsewhere(bench.beside("onnx2torch", ONNX2TORCH), "Onnx2Torch", {})


def node_runtimes(bench: Bench) -> tuple[str, str]:
    """onnxruntime-node and -web. Its own script would fetch CUDA's libraries, which nothing here needs."""
    folder = bench.folder / "node-runtimes"
    folder.mkdir()
    packages = [f"{name}@{NODE_RUNTIME}" for name in ("onnxruntime-node", "onnxruntime-web")]
    try:
        bench.run([_found("npm"), "install", "--silent", "--no-audit", "--ignore-scripts", *packages], cwd=folder)
    except RuntimeError as error:
        raise NotHere(f"{', '.join(packages)} do not install here: {error}") from error
    return NODE_RUNTIME, _lines_elsewhere(sys.executable, "node", {"NODE_PATH": str(folder / "node_modules")})


def _lines_elsewhere(python: str, which: str, settings: dict[str, str]) -> str:
    """Run the tests of docs/elsewhere.md with one runtime; none may be skipped."""
    asked = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/learning/test_elsewhere.py", "-k", which]
    ran = subprocess.run(asked, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=900)
    *_, last = ran.stdout.strip().splitlines() or [""]
    if ran.returncode or "skipped" in last:
        raise RuntimeError(ran.stdout[-800:] + ran.stderr[-300:])
    return "the lines of docs/elsewhere.md, and further networks: " + last.partition(",")[0]


CLIENTS: dict[str, Callable[[Bench], tuple[str, str]]] = {
    "tritonclient.http": triton,
    "tritonclient.http.aio": triton_aio,
    "kserve": kserve,
    "MLServer's codecs": mlserver,
    "openapi-python-client": generated,
    "curl --http2": curl,
    "Java HttpClient": java,
    "linters and TypeScript generators": node,
    "tract": tract,
    "onnx2torch": onnx2torch,
    "onnxruntime-node, -web": node_runtimes,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CLIENTS, default=list(CLIENTS), help="these clients alone")
    parser.add_argument("--json", type=Path, help="where to keep the results, in place of results/clients.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noisegate-clients-") as name:
        folder = Path(name)
        with local.running(folder / "data", 0, workers=1, isolated=True) as up:
            train(up.url)
            _expect(up.url, folder)
            results = list(_results(Bench(up.url, folder), asked.only))
    keep("clients", {"digits": DIGITS, "clients": [asdict(one) for one in results]}, asked.json)
    return int(any(one.result not in ("ok", "not here") for one in results))


def train(url: str) -> None:
    """Train a model of the bundled digits, and make it `default`."""
    with httpx2.Client(base_url=url, timeout=60) as client:
        posted = client.post("/experiments", json=SPEC).raise_for_status().json()
        while (found := client.get(f"/experiments/{posted['id']}").json())["state"] not in _ENDED:
            time.sleep(0.5)
        assert found["state"] == "succeeded", found["error"]
        (model,) = client.get("/models", params={"experiment": posted["id"]}).json()["items"]
        client.put("/aliases/default", json={"model": model["id"]}).raise_for_status()


def _expect(url: str, folder: Path) -> None:
    """Keep some digits, and what /classify makes of them."""
    pixels, decisions = [], []
    with httpx2.Client(base_url=url, timeout=60) as client:
        for number in range(DIGITS):
            image = client.get(f"/datasets/digits/images/test/{number}.png").raise_for_status().content
            (folder / f"{number:03}.png").write_bytes(image)
            pixels.append(open_image(image, ImageLimits()).pixels(32, Fitting()))
            answer = client.post("/classify", content=image, headers={"Content-Type": "image/png"})
            decisions.append(answer.raise_for_status().json())
    np.save(folder / "images.npy", np.stack(pixels))
    (folder / "decisions.json").write_text(json.dumps(decisions))


def _results(bench: Bench, names: list[str]) -> Iterator[Result]:
    for name in names:
        started = time.monotonic()
        try:
            version, ran = CLIENTS[name](bench)
            found = Result(name, version, ran, "ok", round(time.monotonic() - started, 1))
        except NotHere as missing:
            found = Result(name, "", str(missing), "not here", round(time.monotonic() - started, 1))
        except (RuntimeError, AssertionError, subprocess.TimeoutExpired) as error:
            found = Result(name, "", "", f"failed: {error}", round(time.monotonic() - started, 1))
        print(f"{found.client} {found.version}: {found.result}; {found.ran}", flush=True)
        yield found


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise NotHere(f"{program} is not on this machine")
    return path


if __name__ == "__main__":
    raise SystemExit(main())
