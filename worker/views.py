"""Making a view: the originals of a dataset, decoded at another size."""

from collections.abc import Iterator
from pathlib import Path

from noisegate.data.limits import image_limits
from noisegate.data.originals import Originals
from noisegate.data.packing import IMAGES_FILE
from noisegate.data.views import join_pieces, pieces_of, view_bytes, write_piece
from noisegate.inference.decoding import ImageLimits
from noisegate.spec.derived import View
from noisegate.store.packed import fetch_originals
from worker.making import Making


def make_view(making: Making) -> dict[str, Path]:
    """`images.npy` of the view, in pieces.

    Raises:
        StorageFull: no room for it: the disk is needed twice over while it is made, unless it is one piece.
        InvalidImage, TooLarge: an original cannot be read with today's limits.
    """
    view = making.row.parameters
    assert isinstance(view, View)
    originals = _originals(making)
    making.total = len(originals)
    pieces = list(pieces_of(view, len(originals)))
    _check_room(making, view, pieces)
    settings = making.resources.settings
    limits = image_limits(settings)
    for places in pieces:
        if _name(places) not in making.pieces:
            _make_piece(making, originals, view, places, limits)
        making.done = places.stop
        making.check()
    file = making.folder / IMAGES_FILE
    join_pieces(file, view, len(originals), _kept(making, pieces), making.check)
    return {IMAGES_FILE: file}


def _originals(making: Making) -> Originals:
    files = fetch_originals(making.resources.artefacts, making.row.dataset)
    return Originals(files.content, files.index, files.shared)


def _make_piece(making: Making, originals: Originals, view: View, places: range, limits: ImageLimits) -> None:
    def note(images: int) -> None:
        making.done = places.start + images
        making.check()

    file = making.folder / _name(places)
    write_piece(file, originals, view, places, limits, note)
    making.keep(_name(places), file)


def _kept(making: Making, pieces: list[range]) -> Iterator[Path]:
    yield from (making.piece(_name(places)) for places in pieces)


def _name(places: range) -> str:
    return f"images-{places.start}-{places.stop}"


def _check_room(making: Making, view: View, pieces: list[range]) -> None:
    missing = sum(len(places) for places in pieces if _name(places) not in making.pieces)
    count = pieces[-1].stop
    needed = view_bytes(view, count) + missing * view.bytes_an_image()
    making.check_room(needed, f"a view of {count:,} images at {view.image_size} pixels")
