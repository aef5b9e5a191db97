"""In which order one run sees its images, how each is changed, and how far the run has come."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from noisegate.learning.augmentation import DRAWS, draw_changes
from noisegate.spec.recipe import Augmentation


@dataclass(frozen=True)
class Batch:
    """Images of one step, by their places in the training set, and what is changed of each; no draws, no changes."""

    places: Int64[Tensor, "*runs batch"]
    draws: Int64[Tensor, "*runs batch draws"]

    @classmethod
    def stacked(cls, batches: list["Batch"]) -> "Batch":
        """Those of several runs as one; alike in size."""
        return cls(torch.stack([one.places for one in batches]), torch.stack([one.draws for one in batches]))


class Batches(Iterator[Batch]):
    """One batch after another, without end: a fresh order each pass, the last partial batch dropped.

    With equal updates an epoch ends before the pass does; the next epoch goes on where it stopped.

    `order` is that of the current pass, 0 … `images` − 1 each once, and `position` counts what was taken of it; `size` is that
    of a batch.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        generator: torch.Generator,
        device: torch.device,
        augmentation: Augmentation | None = None,
        image_size: int = 0,
    ) -> None:
        self.images = images
        self.generator = generator
        self.device = device
        # The first batch finds an empty order used up, and so draws one.
        self.order = torch.empty(0, dtype=torch.int64, device=device)
        self.position = 0
        self.size = min(batch_size, images)
        self._augmentation = augmentation
        self._image_size = image_size

    def __next__(self) -> Batch:
        if self.position + self.size > len(self.order):
            self.order = self._there(torch.randperm(self.images, generator=self.generator))
            self.position = 0
        start = self.position
        self.position += self.size
        return Batch(self.order[start : self.position], self._draws())

    @property
    def begins_pass(self) -> bool:
        """Whether the last batch was the first of a pass over the images."""
        return self.position == self.size

    def _draws(self) -> Int64[Tensor, "batch draws"]:
        if self._augmentation is None:
            return torch.empty(self.size, 0, dtype=torch.int64, device=self.device)
        drawn = draw_changes(self._augmentation, self.size, self._image_size, self.generator)
        assert drawn.shape[1] == DRAWS
        return self._there(drawn)

    def _there(self, drawn: Tensor) -> Tensor:
        # From pinned memory, a GPU fetches it when it comes to that, and the host does not wait.
        return drawn.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else drawn
