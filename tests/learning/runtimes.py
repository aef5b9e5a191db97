"""What others run ONNX files with, each as a session of ONNX Runtime, so that the lines of docs/elsewhere.md run on it.

OpenVINO is there wherever tests run; `make clients` installs tract and onnx2torch and runs their tests.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

Images = dict[str, np.ndarray]


class _Session:
    """None of them gives the metadata away: onnx reads them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._outputs = [output.name for output in onnx.load(path).graph.output]

    def get_modelmeta(self) -> onnxruntime.ModelMetadata:
        entries = {entry.key: entry.value for entry in onnx.load(self._path).metadata_props}
        return type("Metadata", (), {"custom_metadata_map": entries})

    def run(self, names: list[str], inputs: Images) -> list[np.ndarray]:
        answers = dict(zip(self._outputs, self.answers(inputs["images"]), strict=True))
        return [answers[name] for name in names]

    def answers(self, images: np.ndarray) -> list[np.ndarray]:
        """Every output, in the graph's order."""
        raise NotImplementedError


class OpenVino(_Session):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._compiled = _found("openvino").Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def answers(self, images: np.ndarray) -> list[np.ndarray]:
        found = self._compiled({"images": images})
        return [found[name] for name in self._outputs]


class Tract(_Session):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._runnable = _found("tract").onnx().load(path).into_model().into_runnable()

    def answers(self, images: np.ndarray) -> list[np.ndarray]:
        return [answer.to_numpy() for answer in self._runnable.run([images])]


class Onnx2Torch(_Session):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._module = _found("onnx2torch").convert(path).eval()

    @torch.no_grad()
    def answers(self, images: np.ndarray) -> list[np.ndarray]:
        return [answer.numpy() for answer in self._module(torch.tensor(images))]


RUNTIMES = [onnxruntime.InferenceSession, OpenVino, Tract, Onnx2Torch]


def node_packages(package: str) -> Path:
    """The folder of Node's packages that has this one, or the reason why the test is skipped."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is not on this machine")
    asked = [program, "-p", f"require.resolve('{package}')"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    if found.returncode:
        pytest.skip(f"{package} is not installed where NODE_PATH says: make clients runs this with it")
    folder, _, _ = found.stdout.strip().rpartition(f"/{package}/")
    return Path(folder)


def _found(package: str) -> Any:
    """A package, or the reason why the test is skipped."""
    return pytest.importorskip(package, reason=f"{package} is not installed: make clients runs this with it")
