"""Stylesheet and scripts, under names that change with their content, so that browsers may keep them for good."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import PurePath

from fastapi import APIRouter, Request, Response

from noisegate.errors import NotFound

PREFIX = "/ui/static"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_GOOD = "public, max-age=31536000, immutable"

router = APIRouter(prefix=PREFIX, include_in_schema=False)


@dataclass(frozen=True)
class Asset:
    """A file as it is served: `name` has a part of its digest in it."""

    name: str
    media_type: str
    content: bytes

    @cached_property
    def packed(self) -> bytes:
        """Compressed by gzip, when it is first asked for: of Swagger UI that takes a tenth of a second."""
        return gzip.compress(self.content, mtime=0)


@router.get("/{name}")
def get_asset(name: str, request: Request) -> Response:
    """A file that pages need; gzip for those who take it. In a thread, as packing takes a while."""
    asset = _by_served_name().get(name)
    if asset is None:
        raise NotFound(f"there is no file {name!r}", field="name", remedy="Load the page again: it names its files.")
    headers = {"Cache-Control": _FOR_GOOD, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


def path_of(file: str) -> str:
    """The path under which a file of `static` is served, such as `app.css`."""
    return f"{PREFIX}/{assets()[file].name}"


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """All files by their names in `static`, read once a process."""
    folder = resources.files("service.pages") / "static"
    found = [*folder.iterdir(), *(folder / "vendor").iterdir()]
    served = [file for file in found if PurePath(file.name).suffix in _MEDIA_TYPES]
    return {file.name: _asset(file.name, file.read_bytes()) for file in served}


@lru_cache(maxsize=1)
def _by_served_name() -> dict[str, Asset]:
    return {asset.name: asset for asset in assets().values()}


def _asset(file: str, content: bytes) -> Asset:
    path = PurePath(file)
    name = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"
    return Asset(name, _MEDIA_TYPES[path.suffix], content)
