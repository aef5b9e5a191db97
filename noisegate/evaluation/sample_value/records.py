"""What one execution says of the training images, as an artefact's bytes: about 160 bytes an image after 40 epochs."""

from dataclasses import dataclass

import numpy as np
import safetensors.numpy
from jaxtyping import Float16, Int64

from noisegate.api.samples import TEST_CALLED
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.rejection.scores import softmax

# Written as int32.
_PLACES = ("rows", "held_rows", TEST_CALLED)


@dataclass(frozen=True)
class ExecutionRecord:
    """Of n images, noise last: those of `rows`, which are places among the dataset's training images, and the noise images.

    Attributes:
        probability: of the label, 0 … 1, in each recorded epoch; NaN of images that were not shown in it.
        margin: the label's logit less the largest other one; likewise.
        errors: Euclidean norm of probabilities less the one-hot label, early in training.
        mean_probabilities: over the epochs, of every output; no rows where they were too many to keep.
        held_rows: images that it was not trained on, or was trained on but for a fold; `held_probabilities` are theirs.
        test_called: the output that it calls each of the cell's test images, in their order.
        classes: number of known classes. Where there are more outputs, the last one is noise.
    """

    probability: Float16[np.ndarray, "epochs n"]
    margin: Float16[np.ndarray, "epochs n"]
    errors: Float16[np.ndarray, " n"]
    rows: Int64[np.ndarray, " known"]
    mean_probabilities: Float16[np.ndarray, "_ outputs"]
    held_rows: Int64[np.ndarray, " held"]
    held_probabilities: Float16[np.ndarray, "held outputs"]
    test_called: Int64[np.ndarray, " test"]
    classes: int

    def to_bytes(self) -> bytes:
        """As safetensors; the same record gives the same bytes."""
        arrays = {name: np.ascontiguousarray(value) for name, value in vars(self).items() if name != "classes"}
        for name in _PLACES:
            arrays[name] = arrays[name].astype(np.int32)
        data: bytes = safetensors.numpy.save(arrays | {"classes": np.array([self.classes], np.int32)})
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> "ExecutionRecord":
        """What `to_bytes` wrote."""
        arrays = safetensors.numpy.load(data)
        for name in _PLACES:
            arrays[name] = arrays[name].astype(np.int64)
        return cls(
            **{name: value for name, value in arrays.items() if name != "classes"}, classes=int(arrays["classes"][0])
        )


def record_of(cell: PreparedCell, outcome: ExecutionOutcome) -> ExecutionRecord | None:
    """What an execution has recorded; None where the cell asks for nothing."""
    record = outcome.trained.record
    if record is None:
        return None
    told, known = record.told().numpy(), cell.known_images
    mean = np.empty((0, cell.outputs), np.float16)
    if record.summed is not None:
        shown = np.maximum(1, (~np.isnan(told[:, 0, :known])).sum(axis=0))
        mean = (record.summed[:known].cpu().numpy() / shown[:, None]).astype(np.float16)
    held = outcome.held
    held_rows = cell.known_rows if held and held.heads else cell.holdout_rows
    answers = softmax(held.answers.logits) if held else np.empty((0, cell.outputs))
    return ExecutionRecord(
        probability=told[:, 0],
        margin=told[:, 1],
        errors=record.errors.numpy(),
        rows=cell.known_rows,
        mean_probabilities=mean,
        held_rows=held_rows if held else held_rows[:0],
        held_probabilities=answers.astype(np.float16),
        test_called=outcome.test_answers.logits.argmax(axis=1),
        classes=len(cell.classes),
    )
