"""What a TIFF's tags say of its pixels: refused, before anything is decoded, if it is none of what is read."""

from collections.abc import Sequence
from itertools import pairwise

from noisegate.inference.parts import checked, damaged, refuse, truncated

Tags = dict[int, tuple[int, ...]]

SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL_ORDER, _STRIPS, ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES = 266, 273, 274, 277, 278, 279
_PLANES, _PREDICTOR, COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 284, 317, 320, 322, 323, 324, 325
_EXTRA, _FORMAT, _JPEG_TABLES, _SUBSAMPLING = 338, 339, 347, 530
KEPT = {
    *(SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIPS, ORIENTATION, _SAMPLES, _ROWS),
    *(_STRIP_BYTES, _PLANES, _PREDICTOR, COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _FORMAT),
    *(_JPEG_TABLES, _SUBSAMPLING),
}
# Pillow warns where they have several.
_OF_ONE_NUMBER = {
    _WIDTH,
    _HEIGHT,
    _COMPRESSION,
    _PHOTOMETRIC,
    _FILL_ORDER,
    ORIENTATION,
    _SAMPLES,
    _ROWS,
    _PLANES,
    _PREDICTOR,
}
_OF_ONE_NUMBER |= {SUBFILE, _TILE_WIDTH, _TILE_HEIGHT}
_NOT_COMPRESSED, _JPEG = 1, 7
_READ = {_NOT_COMPRESSED, 5, _JPEG, 8, 32946, 32773}
_NAMES = dict.fromkeys((2, 3, 4), "fax") | dict.fromkeys((34676, 34677), "LogLuv")
_NAMES |= {
    6: "old JPEG",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    34933: "PNG",
    50000: "Zstandard",
    50001: "WebP",
}
_FORMATS = {2: "signed numbers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}
# By photometric interpretation: samples a pixel without alpha, and bits of each.
_DEPTHS = {
    0: (1, {1, 2, 4, 8}),
    1: (1, {1, 2, 4, 8, 16}),
    2: (3, {8, 16}),
    3: (1, {1, 2, 4, 8}),
    5: (4, {8, 16}),
    6: (3, {8}),
}
_GRAY_AND_ALPHA_BITS = 8
_MOST_TILE_SIDE = 4096
_MOST_SCANS = 100
_PLAIN = "Save it as 8-bit RGB or as 8- or 16-bit gray, uncompressed or with LZW or Deflate; or as PNG."


def full_colour_map(colours: Sequence[int]) -> tuple[int, ...]:
    """16-bit colours; some programs write 8-bit ones, which would all be black."""
    return tuple(colour * 257 for colour in colours) if max(colours, default=0) < 256 else tuple(colours)


def check_layout(tags: Tags, data: bytes) -> None:
    """Complete `tags` and cut lists that are too long; every strip or tile lies within `data`, each byte in one of them at most.

    Raises:
        InvalidImage: a layout that is not read; damaged or cut short.
    """
    for tag, default in ((_COMPRESSION, 1), (_PLANES, 1), (_SAMPLES, 1), (_BITS, 1), (_PREDICTOR, 1), (_FILL_ORDER, 1)):
        tags.setdefault(tag, (default,))
    tags.setdefault(_FORMAT, (1,))
    for tag in _OF_ONE_NUMBER & tags.keys():
        tags[tag] = tags[tag][:1]
    if not all(numbers and max(numbers) < 2**32 for numbers in tags.values()):
        raise damaged("a tag is empty, or its number too large")
    if not tags.keys() >= {_WIDTH, _HEIGHT, _PHOTOMETRIC} or 0 in tags[_WIDTH] + tags[_HEIGHT]:
        raise damaged("it does not say how large it is, or what its numbers mean")
    _check_numbers(tags)
    _check_compression(tags, data)
    _check_samples(tags)
    _check_pieces(tags, len(data))


def _check_numbers(tags: Tags) -> None:
    for number in tags[_FORMAT]:
        if number != 1:
            kind = _FORMATS.get(number, "undefined numbers")
            raise refuse(f"is a TIFF of {kind}, of which it is not clear what is white", _PLAIN)


def _check_compression(tags: Tags, data: bytes) -> None:
    compression = tags[_COMPRESSION][0]
    if compression not in _READ:
        raise refuse(f"is a TIFF with {_NAMES.get(compression, f'unknown ({compression})')} compression", _PLAIN)
    if tags[_PREDICTOR][0] not in (1, 2) or tags[_PLANES][0] not in (1, 2) or tags[_FILL_ORDER][0] != 1:
        raise refuse("is a TIFF with its numbers or bits in an unusual order", _PLAIN)
    if compression != _JPEG:
        tags.pop(_JPEG_TABLES, None)
    elif data.count(b"\xff\xda") > _MOST_SCANS + len(tags.get(_STRIPS, tags.get(_TILES, ()))):
        raise refuse(f"has more than {_MOST_SCANS} scans", "Save it anew, with another compression.")


def _check_samples(tags: Tags) -> None:
    """Raises InvalidImage unless it is one of the combinations that Pillow turns into the right 8-bit RGB."""
    photometric, samples, extra = tags[_PHOTOMETRIC][0], tags[_SAMPLES][0], len(tags.get(_EXTRA, ()))
    channels, depths = _DEPTHS.get(photometric, (0, set()))
    bits = set(tags[_BITS])
    alpha = samples - channels
    if photometric == 6 and (tags[_COMPRESSION][0] != _JPEG or tags[_PLANES][0] != 1):
        raise refuse("is a TIFF of YCbCr colours without JPEG compression", _PLAIN)
    if tags[_COMPRESSION][0] == _JPEG and photometric not in (1, 2, 6):
        raise refuse("is a TIFF of JPEG compression that is neither gray nor RGB", _PLAIN)
    in_planes = tags[_PLANES][0] == 2 and samples > 1
    if in_planes and (alpha or (tags[_COMPRESSION][0] == _NOT_COMPRESSED and bits == {16})):
        # Of the latter Pillow reads the wrong half.
        raise refuse("is a TIFF with a plane of its own for each colour, and 16 bits or transparency", _PLAIN)
    gray_alpha_ok = channels == 3 or (photometric == 1 and bits == {_GRAY_AND_ALPHA_BITS})
    if len(bits) != 1 or not bits <= depths or not (alpha == 0 == extra or (alpha == 1 >= extra and gray_alpha_ok)):
        described = f"{'/'.join(map(str, sorted(bits)))} bits, {samples} numbers a pixel, colours of kind {photometric}"
        raise refuse(f"is a TIFF of a kind that is not read ({described})", _PLAIN)
    if photometric == 3 and len(tags.get(COLOUR_MAP, ())) != 3 << tags[_BITS][0]:
        raise damaged("its palette is not of the right size")
    tags[_BITS] = tuple(bits) * samples
    tags[_FORMAT] = (1,) * samples


def _check_pieces(tags: Tags, bytes_: int) -> None:
    width, height = tags[_WIDTH][0], tags[_HEIGHT][0]
    tiled = _TILES in tags
    if tiled:
        piece = tags.get(_TILE_WIDTH, (0,))[0], tags.get(_TILE_HEIGHT, (0,))[0]
        if any(side % 16 or not 0 < side <= _MOST_TILE_SIDE for side in piece):
            raise refuse(f"has tiles of {piece[0]:,} × {piece[1]:,} pixels", "Write it anew with another program.")
        for tag in (_STRIPS, _STRIP_BYTES, _ROWS):
            tags.pop(tag, None)
    else:
        tags[_ROWS] = (max(1, min(tags.get(_ROWS, (height,))[0], height)),)
        piece = width, tags[_ROWS][0]
    planes = tags[_SAMPLES][0] if tags[_PLANES][0] == 2 else 1
    count = checked(-(-width // piece[0]) * -(-height // piece[1]) * planes)
    at_tag, bytes_tag = (_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)
    if tags[_COMPRESSION][0] == _NOT_COMPRESSED:
        told, tags[bytes_tag] = tags.get(bytes_tag, ()), _plain_sizes(tags, piece, count, planes)
        if any(size < needed for size, needed in zip(told, tags[bytes_tag], strict=False)):
            raise damaged("a strip or tile of it is too short")
    places = list(zip(tags.get(at_tag, ())[:count], tags.get(bytes_tag, ())[:count], strict=False))
    if len(places) < count:
        raise truncated()
    _check_places(places, bytes_)
    tags[at_tag], tags[bytes_tag] = tuple(at for at, _ in places), tuple(size for _, size in places)


def _plain_sizes(tags: Tags, piece: tuple[int, int], count: int, planes: int) -> tuple[int, ...]:
    """Of uncompressed pieces, whatever the file says: whole ones, but for the last strip of a plane."""
    row = -(-piece[0] * sum(tags[_BITS]) // planes // 8)
    if _TILES in tags:
        return (row * piece[1],) * count
    height, each = tags[_HEIGHT][0], count // planes
    return tuple(row * min(piece[1], height - strip % each * piece[1]) for strip in range(count))


def _check_places(places: Sequence[tuple[int, int]], bytes_: int) -> None:
    """Each within the file, and none over another: a file of one strip in ten thousand places would be a bomb."""
    ordered = sorted(places)
    if any(size == 0 or at + size > bytes_ for at, size in ordered):
        raise truncated()
    if any(at + size > following for (at, size), (following, _) in pairwise(ordered)):
        raise damaged("its strips or tiles lie over each other")
