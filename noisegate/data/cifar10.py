"""CIFAR-10 through torchvision's loader. The one module here that loads torch."""

import tarfile
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

from torchvision.datasets import CIFAR10

from noisegate.data.members import Member
from noisegate.disk import is_full
from noisegate.errors import SourceUnavailable, StorageFull

# URLError, timeouts and lost connections are OSErrors; RuntimeError is torchvision's word for a wrong checksum.
_DOWNLOAD_FAILURES = (OSError, HTTPException, RuntimeError, EOFError, tarfile.TarError, zlib.error)


def cifar10_members(folder: Path) -> Iterator[Member]:
    """The 60,000 images of CIFAR-10 in the layout train/<class>/<image>, test/<class>/<image>; pixels 32×32 RGB.

    Downloaded into `folder` (340 MB with its unpacked copy) unless it is there already.

    Raises:
        SourceUnavailable: the download failed, or is not the official archive.
        StorageFull: no room left in `folder`.
    """
    # The files are pickles, the one exception to our rule that nothing is unpickled: the person named this loader, the
    # archive is the official one, and torchvision compares the MD5 of every file with its own constants before it
    # opens any (CIFAR10._check_integrity, and _load_meta for the class names). MD5 withstands second preimages, which
    # is what forging a file to a given sum would take.
    try:
        splits = {
            "train": CIFAR10(folder, train=True, download=True),
            "test": CIFAR10(folder, train=False, download=True),
        }
    except _DOWNLOAD_FAILURES as error:
        if is_full(error):
            raise StorageFull(f"no room for CIFAR-10 in {folder}", remedy="Make room for 340 MB there.") from error
        raise SourceUnavailable(
            f"CIFAR-10 could not be downloaded: {error}",
            field="source",
            remedy="Send the archive yourself: POST /datasets with a tar.xz of train/<class>/* and test/<class>/*.",
        ) from error
    for split, images in splits.items():
        for index, (pixels, label) in enumerate(zip(images.data, images.targets, strict=True)):
            yield Member(f"{split}/{images.classes[label]}/{index:05d}.png", pixels)
