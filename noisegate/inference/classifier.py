"""A model in memory: uint8 images in, decisions out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noisegate.api.found import Found
from noisegate.decision_rule import DecisionRule
from noisegate.inference.runtimes import Answers, OnnxModel, Runtime, RuntimeName, UnusableModel, open_runtime
from noisegate.manifest import ModelManifest
from noisegate.rejection.decision import Decider, DecisionOptions
from noisegate.rejection.documents import Decision
from noisegate.rejection.reference import Reference, compute_scores

# What a model takes besides twice its weights. Measured with 24 of 0.5 MB used at batches of 32 (tests/service/test_serving.py):
# 1.25 MiB each in all by ONNX Runtime, 7.4 MiB by OpenVINO.
_OWN_BYTES: dict[RuntimeName, int] = {"onnxruntime": 512 * 1024, "openvino": 8 * 2**20}

_TIMED_RUNS = 3


class Classifier:
    """One loaded model. It never changes after construction, so any number of threads may use it at once.

    Construction runs it, so the first request pays for no initialisation. `nbytes` is the memory to count it with,
    `width` the number of features, `seconds_per_image` the least that the network took for one image by itself.

    Raises:
        OSError: there is no such file.
        UnusableModel: the file does not load or run, or it does not match the manifest or the reference.
    """

    def __init__(
        self,
        onnx_model: OnnxModel,
        manifest: ModelManifest,
        reference: Reference | None = None,
        runtime: RuntimeName = "onnxruntime",
    ) -> None:
        self.manifest = manifest
        self.nbytes = memory_of(onnx_model, reference, runtime)
        self._decider = Decider(manifest, reference)
        self._runtime: Runtime = open_runtime(runtime, onnx_model)
        self.width = self._warm_up(reference)
        self.seconds_per_image = self._seconds_per_image()

    def logits(self, images: npt.NDArray[np.uint8]) -> Answers:
        """Logits [n, outputs] and features [n, width] of `images`, uint8 [n, size, size, 3].

        Raises:
            UnusableModel: the model fails on them.
            ValueError: the images have another type or shape, or there are none.
        """
        size = self.manifest.image_size
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3) or len(images) == 0:
            raise ValueError(f"uint8 images [n, {size}, {size}, 3] are needed, not {images.dtype} {images.shape}")
        return self._runtime.run(images)

    def budget(self, options: DecisionOptions) -> float:
        """As `Decider.budget`: what these options are carried out for, or an InvalidInput."""
        return self._decider.budget(options)

    def find(self, answers: Answers, options: Sequence[DecisionOptions]) -> list[Found]:
        """As JSON documents: one decision a row of what `logits` returned, with the options of each; raises as `Decider.find`."""
        return self._decider.find(*answers, options)

    def decide(self, answers: Answers, options: Sequence[DecisionOptions]) -> list[Decision]:
        """One decision a row of what `logits` returned, with the options of each; raises as `Decider.decide`."""
        return self._decider.decide(*answers, options)

    def classify(
        self, images: npt.NDArray[np.uint8], max_false_reject: float | None = None, rule: DecisionRule | None = None
    ) -> list[Decision]:
        """One decision an image of `images`, uint8 [n, size, size, 3].

        Raises:
            InvalidInput: `max_false_reject` lies outside 0 … 1, or is less than the holdout can promise; None asks for the default.
                Or the rule names a score that the model has not.
            UnusableModel: the model fails on them.
            ValueError: the images have another type or shape, or there are none.
        """
        options = DecisionOptions(max_false_reject, rule=rule)
        return self.decide(self.logits(images), [options] * len(images))

    def _warm_up(self, reference: Reference | None) -> int:
        """Run the model once; returns the number of features."""
        # Two images, as a graph with its batch size fixed at one would pass with one.
        size, outputs = self.manifest.image_size, len(self.manifest.outputs)
        logits, features = self.logits(np.zeros((2, size, size, 3), np.uint8))
        if logits.shape != (2, outputs):
            raise UnusableModel(f"the model gives logits {list(logits.shape)}; its manifest names {outputs} outputs")
        if features.ndim != 2 or len(features) != 2:
            raise UnusableModel(f"the model gives features {list(features.shape)}, not [n, width]")
        if not np.isfinite(logits).all():
            raise UnusableModel("the model gives logits that are not finite")
        if reference:
            _check_reference(reference, logits[:, : len(self.manifest.classes)], features)
        return int(features.shape[1])

    def _seconds_per_image(self) -> float:
        """Of a few runs the quickest, by the clock of what runs it."""
        size, clock = self.manifest.image_size, self._runtime.clock
        image = np.zeros((1, size, size, 3), np.uint8)
        taken = []
        for _ in range(_TIMED_RUNS):
            started = clock()
            self.logits(image)
            taken.append(clock() - started)
        return min(taken)


def _check_reference(reference: Reference, known: npt.NDArray[np.floating], features: npt.NDArray[np.floating]) -> None:
    """Raise UnusableModel if the reference cannot have come from this model, whose answers to some images these are."""
    if len(reference.class_counts) != known.shape[1]:
        raise UnusableModel("the reference has other classes than the model")
    try:
        compute_scores(known, features, reference)
    except ValueError as error:
        raise UnusableModel(f"the reference has other features than the model: {error}") from error


def memory_of(onnx_model: OnnxModel, reference: Reference | None, runtime: RuntimeName) -> int:
    """Bytes of memory to count a model with, known before it is loaded; raises OSError if there is no such file."""
    size = onnx_model.stat().st_size if isinstance(onnx_model, Path) else len(onnx_model)
    return 2 * size + _OWN_BYTES[runtime] + (reference.nbytes if reference else 0)
