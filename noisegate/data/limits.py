"""What the settings of an installation allow one archive and one image."""

from typing import Protocol

from noisegate.data.members import ArchiveLimits
from noisegate.inference.decoding import ImageLimits


class Limited(Protocol):
    """The settings that say it (noisegate.store.settings)."""

    @property
    def max_archive_files(self) -> int: ...

    @property
    def max_archive_bytes(self) -> int: ...

    @property
    def max_archive_ratio(self) -> float: ...

    @property
    def max_image_bytes(self) -> int: ...

    @property
    def max_image_pixels(self) -> int: ...


def archive_limits(settings: Limited) -> ArchiveLimits:
    """For one archive."""
    return ArchiveLimits(
        max_files=settings.max_archive_files,
        max_member_bytes=settings.max_image_bytes,
        max_total_bytes=settings.max_archive_bytes,
        max_ratio=settings.max_archive_ratio,
    )


def image_limits(settings: Limited) -> ImageLimits:
    """For one image of it."""
    return ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
