"""What is sent for a folder or an archive."""

from pathlib import Path
from pkgutil import resolve_name

from noisegate.api.reading import Validation
from noisegate.client.files import ArchiveFile, FolderTar, Uploadable
from noisegate.client.walking import FoundImages

# By name: it loads what other calls do without.
_FIND_IMAGES = "noisegate.client.folders:find_images"


def pack(
    images: Path, validation: Validation = "auto", *, has_base: bool = False
) -> tuple[Uploadable, FoundImages | None]:
    """What to send for a folder or an archive, and what is in it as far as that was looked at.

    Args:
        has_base: they are to be added to a dataset: a single class, or a single image, may be enough.

    Raises:
        UnusableFile: it cannot be read as what it should be.
    """
    if not images.is_dir():
        return ArchiveFile(images), None
    found: FoundImages = resolve_name(_FIND_IMAGES)(images, validation, has_base=has_base)
    return FolderTar(found.files), found
