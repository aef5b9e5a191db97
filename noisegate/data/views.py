"""Views: a data set's originals at one size and one way of resizing, decoded as `packing` and serving decode them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from noisegate.data.originals import Originals
from noisegate.data.packing import write_header
from noisegate.disk import storage_errors
from noisegate.errors import InvalidImage, TooLarge
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.spec.derived import View

# Half a second to some seconds of decoding: what is repeated if a worker is lost.
_PIECE_BYTES = 64 * 2**20
_HEADER_BYTES = 128
_COPIED_BYTES = 2**20


def view_bytes(view: View, count: int) -> int:
    """The size of the file that holds `count` images."""
    return _HEADER_BYTES + count * view.bytes_an_image()


def pieces_of(view: View, count: int) -> Iterator[range]:
    """The places of `count` images in pieces of about 64 MiB."""
    step = max(1, _PIECE_BYTES // view.bytes_an_image())
    yield from (range(start, min(start + step, count)) for start in range(0, count, step))


def write_piece(
    file: Path, originals: Originals, view: View, places: range, limits: ImageLimits, note: Callable[[int], None]
) -> None:
    """Decode the originals at these places into `file`, one after another.

    Args:
        note: told after each image how many are in the file; what it raises passes through.

    Raises:
        InvalidImage, TooLarge: one cannot be read with today's limits; the detail begins with its name.
        StorageFull: no room left.
    """
    with storage_errors(), file.open("wb") as written:
        for number, place in enumerate(places, 1):
            try:
                pixels = decode_image(originals.read(place), view.image_size, limits, view.fitting)
            except (InvalidImage, TooLarge) as error:
                detail = f"{originals.name(place)!r}: {error.detail}"
                raise type(error)(detail, field="dataset", remedy="Upload the data set again without it.") from error
            written.write(pixels.tobytes())
            note(number)


def join_pieces(file: Path, view: View, count: int, pieces: Iterable[Path], check: Callable[[], None]) -> None:
    """Write the view from its pieces, in their order; `check` is called now and then, and may raise.

    Raises:
        StorageFull: no room left.
    """
    with storage_errors(), file.open("wb") as written:
        write_header(written, count, view.image_size)
        for piece in pieces:
            with piece.open("rb") as opened:
                while chunk := opened.read(_COPIED_BYTES):
                    written.write(chunk)
                    check()
    assert file.stat().st_size == view_bytes(view, count), "the pieces are the whole"
