"""In which order one execution sees its images, and how far it has come."""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor


class Batches(Iterator[Int64[Tensor, " batch"]]):
    """Indices of one batch after another, without end: a fresh order each pass, the last partial batch dropped.

    With equal updates an epoch ends before the pass does; the next epoch goes on where it stopped.

    `order` is that of the current pass, 0 … `images` − 1 each once, and `position` counts what was taken of it; `size` is that
    of a batch.
    """

    def __init__(self, images: int, batch_size: int, generator: torch.Generator, device: torch.device) -> None:
        self.images = images
        self.generator = generator
        self.device = device
        # The first batch finds an empty order used up, and so draws one.
        self.order = torch.empty(0, dtype=torch.int64, device=device)
        self.position = 0
        self.size = min(batch_size, images)

    def __next__(self) -> Int64[Tensor, " batch"]:
        if self.position + self.size > len(self.order):
            order = torch.randperm(self.images, generator=self.generator)
            # From pinned memory, a GPU fetches it when it comes to that, and nobody waits.
            self.order = order.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else order
            self.position = 0
        start = self.position
        self.position += self.size
        return self.order[start : self.position]
