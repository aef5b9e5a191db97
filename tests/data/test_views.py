"""Views from originals: the bytes are those of the decoder, and memory holds one image at a time."""

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from noisegate.data.members import Member
from noisegate.data.originals import INDEX_FILE, ORIGINALS_FILE, Originals
from noisegate.data.packing import pack
from noisegate.data.views import join_pieces, pieces_of, view_bytes, write_piece
from noisegate.errors import InvalidImage
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.spec.derived import Fitting, View

from .archive_factory import dataset, picture

LIMITS = ImageLimits()


def _ignore(*_: object) -> None:
    """Progress that nobody asks for."""


def originals_of(files: dict[str, bytes], folder: Path) -> Originals:
    folder.mkdir(exist_ok=True)
    pack((Member(name, data) for name, data in files.items()), 8, folder, _ignore, LIMITS)
    return Originals(folder / ORIGINALS_FILE, folder / INDEX_FILE)


def written(originals: Originals, view: View, folder: Path, check: Callable[[], None] = _ignore) -> Path:
    pieces = []
    for number, places in enumerate(pieces_of(view, len(originals))):
        pieces.append(folder / f"piece-{number}")
        write_piece(pieces[-1], originals, view, places, LIMITS, _ignore)
    join_pieces(folder / "view.npy", view, len(originals), pieces, check)
    return folder / "view.npy"


def test_a_view_is_an_npy_of_what_the_decoder_gives(tmp_path: Path) -> None:
    files = dataset(train=7, test=2)
    originals, view = originals_of(files, tmp_path / "o"), View(image_size=12, resize="pad")
    file = written(originals, view, tmp_path)
    found = np.load(file, mmap_mode="r", allow_pickle=False)
    assert file.stat().st_size == view_bytes(view, len(originals))
    assert (found.shape, found.dtype) == ((18, 12, 12, 3), np.uint8)
    for place, pixels in enumerate(found):
        assert np.array_equal(pixels, decode_image(files[originals.name(place)], 12, LIMITS, Fitting("pad")))


def test_pieces_of_any_size_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    originals, view = originals_of(dataset(train=7, test=2), tmp_path / "o"), View(image_size=12)
    whole = written(originals, view, tmp_path).read_bytes()
    monkeypatch.setattr("noisegate.data.views._PIECE_BYTES", 5 * 3 * 12**2)
    assert len(list(pieces_of(view, len(originals)))) == 4
    assert written(originals, view, tmp_path).read_bytes() == whole


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    view = View(image_size=64)

    def peak_bytes(count: int) -> int:
        files = {f"{'train' if n else 'test'}/{n % 2}/{n}.png": picture(n % 200) for n in range(2, count)}
        originals = originals_of(
            files | {"test/0/a.png": picture(0), "test/1/b.png": picture(1)}, tmp_path / str(count)
        )
        tracemalloc.start()
        written(originals, view, tmp_path)
        np.load(tmp_path / "view.npy", mmap_mode="r", allow_pickle=False)[-1].sum()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # 12,288 bytes an image, of which nothing may stay in memory.
    assert peak_bytes(900) - peak_bytes(300) < 600 * 128


def test_an_index_of_other_originals_is_refused(tmp_path: Path) -> None:
    originals_of(dataset(train=3, test=2), tmp_path / "one")
    originals_of(dataset(train=4, test=2), tmp_path / "other")
    with pytest.raises(ValueError, match="belongs to other originals"):
        Originals(tmp_path / "one" / ORIGINALS_FILE, tmp_path / "other" / INDEX_FILE)


def test_an_original_that_does_not_decode_is_named(tmp_path: Path) -> None:
    originals = originals_of(dataset(train=3, test=2), tmp_path / "o")
    content = bytearray((tmp_path / "o" / ORIGINALS_FILE).read_bytes())
    content[: len(originals.read(0))] = bytes(len(originals.read(0)))
    (tmp_path / "damaged.bin").write_bytes(content)
    damaged = Originals(tmp_path / "damaged.bin", tmp_path / "o" / INDEX_FILE)
    with pytest.raises(InvalidImage, match=f"^{originals.name(0)!r}: "):
        write_piece(tmp_path / "piece", damaged, View(image_size=8), range(2), LIMITS, _ignore)


def test_a_png_is_no_larger_than_it_was(tmp_path: Path) -> None:
    files = dataset(train=3, test=2)
    originals = originals_of(files, tmp_path / "o")
    assert (tmp_path / "o" / ORIGINALS_FILE).stat().st_size == sum(map(len, files.values()))
    assert {originals.name(place) for place in range(len(originals))} == set(files)
    assert io.BytesIO(originals.read(3)).read(8) == b"\x89PNG\r\n\x1a\n"
