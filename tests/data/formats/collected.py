"""Files that hold many images, laid on the disk as the archive reader lays them, and what is read of them."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisegate.data.formats import read_collected
from noisegate.data.members import ArchiveLimits, Collected, LeftOut, Member, Told
from noisegate.errors import InvalidArchive, NoisegateError

Content = bytes | np.ndarray | Callable[[Path], object]


class Found:
    """All that came out, by kind."""

    def __init__(self, everything: list[Member | LeftOut | Told]) -> None:
        self.members = {one.name: one for one in everything if isinstance(one, Member)}
        self.left_out = {one.name: one.why for one in everything if isinstance(one, LeftOut)}
        self.told = [one.sentence for one in everything if isinstance(one, Told)]
        assert len(self.members) == sum(isinstance(one, Member) for one in everything), "two images have one name"

    @property
    def labels(self) -> dict[str, tuple[str | None, str]]:
        """Split and class by the image's name."""
        return {name: (one.label.split, one.label.class_name) for name, one in self.members.items() if one.label}

    def pixels(self, split: str | None = None) -> np.ndarray:
        """Of all images of one split in their order, (n, height, width, 3)."""
        return np.stack(
            [np.asarray(one.content) for one in self.members.values() if one.label and one.label.split == split]
        )


def read(
    folder: Path, files: Mapping[str, Content], attachments: Mapping[str, bytes] | None = None, **limits: Any
) -> Found:
    """What is read of files by these names; a function writes its own to the path that it is given."""
    collected = []
    for name, content in files.items():
        path = folder / f"unpacked-{len(list(folder.iterdir()))}"
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else npy(content))
        collected.append(Collected(name, path))
    return Found(list(read_collected(collected, attachments or {}, ArchiveLimits(**limits), folder)))


def refused(
    folder: Path, files: Mapping[str, Content], words: str, error: type[NoisegateError] = InvalidArchive, **more: Any
) -> NoisegateError:
    """The error that reading fails with: in these words, with the field and a remedy."""
    with pytest.raises(error, match=words) as caught:
        read(folder, files, **more)
    assert caught.value.field == "archive"
    assert caught.value.remedy
    return caught.value


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def npz(arrays: Mapping[str, np.ndarray], compressed: bool = True) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, allow_pickle=False, **arrays)
    return file.getvalue()


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Random levels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
