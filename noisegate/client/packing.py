"""What is sent for a folder or an archive."""

from pathlib import Path
from pkgutil import resolve_name

from noisegate.api.reading import Validation
from noisegate.client.files import ArchiveFile, FolderTar, Uploadable
from noisegate.client.walking import FoundImages

# By name: it loads what other calls do without.
_FIND_IMAGES = "noisegate.client.folders:find_images"


def pack(images: Path, validation: Validation = "auto") -> tuple[Uploadable, FoundImages | None]:
    """What to send for a folder or an archive, and what is in it as far as that was looked at; raises UnusableFile."""
    if not images.is_dir():
        return ArchiveFile(images), None
    found: FoundImages = resolve_name(_FIND_IMAGES)(images, validation)
    return FolderTar(found.files), found
