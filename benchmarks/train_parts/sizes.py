"""How much of everything is measured."""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Sizes:
    """Of images, executions and times; `counts` are executions at once, the most first: what matters most comes first."""

    counts: tuple[int, ...] = (50, 25, 10, 5, 2, 1)
    batch: int = 128
    image_size: int = 32
    images: int = 50_000
    seconds: float = 0.2
    timings: int = 5
    warm_up: int = 5
    ceiling_side: int = 8192
    ceiling_bytes: int = 2 * GIB
    naive_files: int = 5000
    naive_seconds: float = 10
    compared_images: int = 25_600
    epoch_images: tuple[int, ...] = (12_500, 25_000, 50_000, 100_000, 200_000)
    epoch_executions: int = 10
    big_images: int = 550_000
    big_updates: int = 100
    streams: tuple[int, ...] = (1, 4, 16, 50)
    processes: tuple[tuple[int, int], ...] = ((2, 25), (4, 12))
    processes_seconds: float = 3

    @property
    def most(self) -> int:
        """Executions at once in whatever is measured for one number of them."""
        return self.counts[0]


SMOKE = Sizes(
    counts=(2, 1),
    batch=16,
    image_size=16,
    images=320,
    seconds=0.01,
    timings=2,
    warm_up=1,
    ceiling_side=128,
    ceiling_bytes=2**20,
    naive_files=64,
    naive_seconds=0.2,
    compared_images=96,
    epoch_images=(80, 160, 320),
    epoch_executions=2,
    big_images=640,
    big_updates=3,
    streams=(1, 2),
    processes=((2, 1),),
    processes_seconds=0.1,
)
