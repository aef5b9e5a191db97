"""What runs say of each training image in every epoch, taken from the forward passes that training makes anyway.

Nothing is computed twice and nothing waits for a GPU: the logits of some thousand images are kept as they come, and then told of
each image in a handful of operations. `SampleRecord` is what stays of a run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float16, Float32, Int64
from torch import Tensor

from noisegate.spec.recipe import TrainingSpec

# Rows of logits that wait to be told together: enough that the operations on them take no time beside the steps.
_ROWS = 8192
# Numbers of the sum of probabilities that a run keeps; with more images times classes it keeps none.
_MOST_SUMMED = 2**24
# The share of the epochs after which the error norm is taken: early, when it still tells images apart (Paul et al., 2021).
_EARLY = 0.1
_EPOCHS_APART = 4
_LARGEST = float(torch.finfo(torch.float16).max)

PROBABILITY, MARGIN, ERROR = range(3)


@dataclass
class SampleRecord:
    """What one run has said of each training image, noise included, in the epochs that have ended.

    Attributes:
        epochs: for each of the `recorded_epochs` the probability of the label, 0 … 1, and the margin: the label's logit less the
            largest other one. Above 0 the image was classified correctly. NaN of images that were not shown in the epoch. On the
            CPU.
        errors: the Euclidean norm of probabilities less the one-hot label, in the early epoch; NaN before. On the CPU.
        summed: probabilities summed over the epochs, on the run's device; None where that would be too many numbers.
    """

    errors: Float16[Tensor, " n"]
    summed: Float32[Tensor, "n outputs"] | None
    epochs: list[Float16[Tensor, "2 n"]] = field(default_factory=list)

    @classmethod
    def empty(cls, images: int, outputs: int, device: torch.device) -> "SampleRecord":
        """Of a run before its first batch."""
        errors = torch.full((images,), math.nan, dtype=torch.float16)
        small = images * outputs <= _MOST_SUMMED
        return cls(errors, torch.zeros(images, outputs, device=device) if small else None)

    def told(self) -> Float16[Tensor, "epochs 2 n"]:
        """All epochs in one tensor."""
        return torch.stack(self.epochs) if self.epochs else torch.empty(0, 2, len(self.errors), dtype=torch.float16)


def recorded_epochs(spec: TrainingSpec) -> list[int]:
    """The epochs, counted from 1, of which a run tells: all; where a layer on features is trained, every fourth and the last.

    Such a layer's steps take so few microseconds that telling of each would be a twentieth of them.
    """
    apart = _EPOCHS_APART if spec.needs_backbone and not spec.tunes_backbone else 1
    return [epoch for epoch in range(1, spec.epochs + 1) if epoch % apart == 0 or epoch == spec.epochs]


def early_epoch(spec: TrainingSpec) -> int:
    """The recorded epoch after which the error norm is taken."""
    return next(epoch for epoch in recorded_epochs(spec) if epoch >= _EARLY * spec.epochs)


class Recorder:
    """Notes one epoch of runs that take their steps together.

    Args:
        labels: of all training images, on the runs' device.
    """

    def __init__(self, records: Sequence[SampleRecord], labels: Int64[Tensor, " n"]) -> None:
        self._records = records
        self._labels = labels
        shape = (len(records), 3, len(labels))
        self._told = torch.full(shape, math.nan, dtype=torch.float16, device=labels.device)
        self._places: list[Int64[Tensor, "runs batch"]] = []
        self._logits: list[Float[Tensor, "runs batch outputs"]] = []
        self._rows = 0

    def note(
        self, places: Int64[Tensor, "runs batch"], logits: Float[Tensor, "runs batch outputs"], *, new_pass: bool
    ) -> None:
        """What the runs said of a batch each.

        Args:
            new_pass: whether the batch is the first of a pass over the images: they may all have been told of in this epoch.
        """
        if new_pass or self._rows >= _ROWS:
            self._tell()
        self._places.append(places)
        self._logits.append(logits)
        self._rows += places.shape[1]

    def finish(self, *, early: bool) -> None:
        """The epoch has ended: enter it in the records. The host waits for a GPU.

        Args:
            early: whether it is the one after which the error norm is taken.
        """
        self._tell()
        for record, told in zip(self._records, self._told.cpu(), strict=True):
            record.epochs.append(told[:ERROR].clone())
            if early:
                record.errors.copy_(told[ERROR])

    @torch.no_grad()
    def _tell(self) -> None:
        """Of the images that wait; each of them is there once."""
        if not self._rows:
            return
        places, logits = torch.cat(self._places, dim=1), torch.cat(self._logits, dim=1).float()
        self._places, self._logits, self._rows = [], [], 0
        probabilities = _softmax(logits)
        told = _tell(logits, probabilities, self._labels[places])
        self._told.scatter_(2, places[:, None].expand(-1, 3, -1), told)
        for record, own, of_run in zip(self._records, probabilities, places, strict=True):
            if record.summed is not None:
                record.summed.index_add_(0, of_run, own)


def _softmax(logits: Float32[Tensor, "runs rows outputs"]) -> Float32[Tensor, "runs rows outputs"]:
    """As PyTorch's, which takes five times as long where there are few outputs."""
    shares = (logits - logits.amax(dim=-1, keepdim=True)).exp_()
    return shares.div_(shares.sum(dim=-1, keepdim=True))


def _tell(
    logits: Float32[Tensor, "runs rows outputs"],
    probabilities: Float32[Tensor, "runs rows outputs"],
    labels: Int64[Tensor, "runs rows"],
) -> Float16[Tensor, "runs 3 rows"]:
    """Probability of the label, margin and error norm of each."""
    index = labels[..., None]
    own = probabilities.gather(-1, index)[..., 0]
    rival = logits.scatter(-1, index, -math.inf).amax(dim=-1)
    margin = (logits.gather(-1, index)[..., 0] - rival).clamp(-_LARGEST, _LARGEST)
    squared = probabilities.square().sum(dim=-1) - own.square() + (1 - own).square()
    return torch.stack([own, margin, squared.sqrt()], dim=1).half()
