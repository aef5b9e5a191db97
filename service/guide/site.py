"""A built guide: its files, listed once. What a request names is looked up in the list, and never put into a path."""

from importlib import resources
from pathlib import Path, PurePosixPath

from noisegate.disk import files_below
from noisegate.store.settings import Settings

# What browsers take as a page, a script or a picture; all else is shown as text.
_MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
}


class Site:
    """The files of a folder by their names in it, such as `guides/engineer.html`; none if there is no such folder."""

    def __init__(self, folder: Path) -> None:
        self._files = {file.relative_to(folder).as_posix(): file for file in files_below(folder)}

    def __bool__(self) -> bool:
        return bool(self._files)

    def read(self, name: str) -> tuple[bytes, str]:
        """The content of a file and its media type.

        Raises:
            KeyError: there is no such file.
        """
        file = self._files[name]
        return file.read_bytes(), _MEDIA_TYPES.get(PurePosixPath(name).suffix, "text/plain")


def open_site(settings: Settings) -> Site:
    """The guide of the folder that the settings name, or the one that came with this package."""
    return Site(settings.guide_dir or Path(str(resources.files("service.guide"))) / "built")
