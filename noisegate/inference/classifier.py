"""A model in memory: uint8 images in, decisions out. ONNX Runtime on the CPU, one thread a call."""

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from noisegate.inference.decision import Decision, decide_many
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, ModelManifest

INPUT = "images"
LOGITS = "logits"
FEATURES = "features"

# All that ONNX Runtime raises on a model; they have no common base but Exception.
_RUNTIME_FAILURES = (
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


class Classifier:
    """One loaded model. It never changes after construction, so any number of threads may use it at once.

    The ONNX graph takes `images`, uint8 [n, size, size, 3], and gives `logits`, float32 [n, outputs], and `features`,
    float32 [n, features]. Construction runs it once, so the first request pays for no initialisation.

    Raises:
        UnusableModel: the file does not load or run, or it does not match the manifest.
    """

    def __init__(self, onnx_model: bytes, manifest: ModelManifest) -> None:
        self.manifest = manifest
        options = ort.SessionOptions()
        # Requests run beside each other; threads within one would only get in their way.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
            _check_signature(self._session)
            self._warm_up()
        except _RUNTIME_FAILURES as error:
            raise UnusableModel(f"the model does not load or run: {error}") from error

    def logits(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Logits [n, outputs] and features [n, features] of `images`, uint8 [n, size, size, 3].

        Raises:
            ValueError: the images have another type or shape, or there are none.
        """
        size = self.manifest.image_size
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3) or len(images) == 0:
            raise ValueError(f"uint8 images [n, {size}, {size}, 3] are needed, not {images.dtype} {images.shape}")
        logits, features = self._session.run([LOGITS, FEATURES], {INPUT: images})
        return logits, features

    def classify(
        self, images: npt.NDArray[np.uint8], max_false_reject: float = DEFAULT_MAX_FALSE_REJECT
    ) -> list[Decision]:
        """One decision an image of `images`, uint8 [n, size, size, 3].

        Raises:
            InvalidInput: `max_false_reject` lies outside 0 … 1.
            ValueError: the images have another type or shape, or there are none.
        """
        logits, _ = self.logits(images)
        return decide_many(logits, self.manifest, max_false_reject)

    def _warm_up(self) -> None:
        # Two images, as a graph with its batch size fixed at one would pass with one.
        size, outputs = self.manifest.image_size, len(self.manifest.outputs)
        logits, features = self.logits(np.zeros((2, size, size, 3), np.uint8))
        if logits.shape != (2, outputs):
            raise UnusableModel(f"the model gives logits {list(logits.shape)}; its manifest names {outputs} outputs")
        if features.ndim != 2 or len(features) != 2:
            raise UnusableModel(f"the model gives features {list(features.shape)}, not [n, features]")
        if not np.isfinite(logits).all():
            raise UnusableModel("the model gives logits that are not finite")


def _check_signature(session: ort.InferenceSession) -> None:
    found = {value.name: value.type for value in [*session.get_inputs(), *session.get_outputs()]}
    expected = {INPUT: "tensor(uint8)", LOGITS: "tensor(float)", FEATURES: "tensor(float)"}
    if found != expected:
        raise UnusableModel(f"the model has the inputs and outputs {found}, not {expected}")
