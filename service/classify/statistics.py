"""What one model has done since it was loaded, counted per batch: Triton's clients ask for it."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Duration:
    """So many times, and seconds in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds


@dataclass
class Statistics:
    """Of one model. Used from one event loop.

    Attributes:
        last: when the last batch ended, seconds since 1970; 0 before the first.
        queue: of images, waiting for the batch before to end.
        success, failure: of images, from waiting to their answer.
        predict: of batches, by the number of images in them.
    """

    last: float = 0.0
    queue: Duration = field(default_factory=Duration)
    success: Duration = field(default_factory=Duration)
    failure: Duration = field(default_factory=Duration)
    predict: dict[int, Duration] = field(default_factory=lambda: defaultdict(Duration))

    def add(self, queue_seconds: Sequence[float], predict_seconds: float, failed: int) -> None:
        """Count one batch: of the images that were decided on how long each waited, and how many were not."""
        waited, decided = sum(queue_seconds), len(queue_seconds)
        self.last = time.time()
        self.queue.add(waited, decided)
        self.success.add(waited + decided * predict_seconds, decided)
        if failed:
            self.failure.add(failed * predict_seconds, failed)
        self.predict[decided + failed].add(predict_seconds)
