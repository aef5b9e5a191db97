"""What runs a model's ONNX graph: ONNX Runtime, or OpenVINO where it is installed and asked for. One thread a call.

A graph takes `images`, uint8 [n, size, size, 3], and gives `logits`, float32 [n, outputs], and `features`, float32
[n, width].
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

INPUT = "images"
LOGITS = "logits"
FEATURES = "features"

RuntimeName = Literal["onnxruntime", "openvino"]
Images = npt.NDArray[np.uint8]
Answers = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
# A file is read without holding Python's lock: of 190 MiB, others wait 13 ms for it, and for the same as bytes 170.
OnnxModel = bytes | Path

# All that ONNX Runtime raises on a model; they have no common base but Exception.
_ORT_FAILURES = (
    ort_errors.EPFail,
    ort_errors.EngineError,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.ModelLoaded,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class UnusableModel(ValueError):
    """The ONNX file does not load, does not run, or is not the one its manifest describes."""


class Runtime(Protocol):
    """A loaded graph. Any number of threads may run it at once."""

    clock: Callable[[], float]
    """What its work is measured by: the processor time of the thread that calls, where the work is done in that thread."""

    def run(self, images: Images) -> Answers:
        """Logits and features of `images`; raises UnusableModel if the graph fails on them."""


def open_runtime(name: RuntimeName, onnx_model: OnnxModel) -> Runtime:
    """Load a graph.

    Raises:
        UnusableModel: it does not load, or has other inputs and outputs. The message names no path.
        ModuleNotFoundError: OpenVINO is asked for and not installed.
    """
    return OpenVino(onnx_model) if name == "openvino" else OnnxRuntime(onnx_model)


@lru_cache(maxsize=1)
def _share_arena() -> None:
    """One arena for all sessions of this process: with one each, a model costs 6 MiB of memory instead of 1."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    clock = staticmethod(time.thread_time)

    def __init__(self, onnx_model: OnnxModel) -> None:
        _share_arena()
        options = ort.SessionOptions()
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Requests run beside each other; threads within one would only get in their way.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(_source(onnx_model), options, providers=["CPUExecutionProvider"])
        except _ORT_FAILURES as error:
            raise UnusableModel(_told(error, onnx_model)) from error
        values = [*self._session.get_inputs(), *self._session.get_outputs()]
        _check_signature({value.name: value.type for value in values}, "tensor(uint8)", "tensor(float)")

    def run(self, images: Images) -> Answers:
        try:
            logits, features = self._session.run([LOGITS, FEATURES], {INPUT: images})
        except _ORT_FAILURES as error:
            raise UnusableModel(f"the model does not run: {error}") from error
        return logits, features


class OpenVino:
    """OpenVINO on the CPU, in float32: the thresholds were calibrated in that."""

    clock = staticmethod(time.perf_counter)  # it computes in a thread of its own

    def __init__(self, onnx_model: OnnxModel) -> None:
        # Only where it is asked for: it is an extra, and takes a moment to import.
        import openvino

        settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        try:
            source = (_source(onnx_model),) if isinstance(onnx_model, Path) else (onnx_model, b"")
            self._compiled = core.compile_model(core.read_model(*source), "CPU", settings)
            ports = {port.any_name: port.element_type.to_string() for port in self._compiled.inputs}
            ports |= {port.any_name: port.element_type.to_string() for port in self._compiled.outputs}
        except RuntimeError as error:
            raise UnusableModel(_told(error, onnx_model)) from error
        _check_signature(ports, "u8", "f32")
        # A request is for one thread at a time.
        self._of_thread = threading.local()

    def run(self, images: Images) -> Answers:
        request = getattr(self._of_thread, "request", None)
        if request is None:
            request = self._of_thread.request = self._compiled.create_infer_request()
        try:
            answers = request.infer({INPUT: images})
        except RuntimeError as error:
            raise UnusableModel(f"the model does not run: {error}") from error
        return answers[LOGITS], answers[FEATURES]


def _source(onnx_model: OnnxModel) -> bytes | str:
    return str(onnx_model) if isinstance(onnx_model, Path) else onnx_model


def _told(error: Exception, onnx_model: OnnxModel) -> str:
    """What went wrong, without a path on this machine."""
    words = str(error).replace(str(onnx_model), "model.onnx") if isinstance(onnx_model, Path) else str(error)
    return f"the model does not load: {words}"


def _check_signature(found: Mapping[str, str], bytes_type: str, float_type: str) -> None:
    if dict(found) != {INPUT: bytes_type, LOGITS: float_type, FEATURES: float_type}:
        raise UnusableModel(f"the model has the inputs and outputs {dict(found)}, not images, logits and features")
