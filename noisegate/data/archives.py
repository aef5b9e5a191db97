"""Archives of images, read from front to back; only files that hold many images are unpacked to disk."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from noisegate.api.reading import NameEncoding
from noisegate.data import kinds
from noisegate.data.members import UPLOAD, ArchiveLimits, Collected, Found, Meter, refuse
from noisegate.data.names import NameDecoder
from noisegate.data.streams import Again, Ahead, Readable, unpacked
from noisegate.data.tar_files import read_tar
from noisegate.data.unpacking import Inner, Unpacker
from noisegate.data.zip_directory import is_npz
from noisegate.data.zip_files import read_zip
from noisegate.errors import InvalidArchive
from noisegate.file_kinds import is_image

# bzip2 compares the checksum of a block when all of it is unpacked.
_MOST_BLOCK_BYTES = 900_000
# An entry of a zip is looked at in two places, near each other: with less, each would be a call to the system.
_BUFFER_BYTES = 2**20
_REMEDY = (
    "Pack the folders as zip, tar, tar.gz, tar.bz2, tar.xz or tar.zst, or send Parquet, .npy, .npz or idx; "
    "renaming another kind is not enough."
)
_FETCH = "Run git lfs pull where it was cloned, and send the file then."


def read_archive(path: Path, limits: ArchiveLimits, folder: Path, names: NameEncoding | None = None) -> Iterator[Found]:
    """The files of a zip or a tar (packed by gzip, bzip2, xz, Zstandard or not at all) in their order, one in memory at a time.

    Those of a bare tar within it come as from a folder of its name; tars within that one are left out.

    What a file is, the archive itself included, is told by its first bytes, not by its name. Images come as `Member`, with
    their bytes, not yet looked at; files with an image's suffix too, whatever they are. Texts that may label images come as
    `Attachment`, files that hold many images as `Collected`, all others as `LeftOut`; at the end `Told`, if names do not say
    their encoding, or `names` was given and none needed it, and `EmptyFolder`. Hidden files and what systems put in by
    themselves are passed over. An upload that is itself a file of many images comes as one `Collected`.

    Args:
        folder: where files that hold many images are unpacked to, under numbers. They stay there.
        names: the encoding of names that are not in UTF-8 and do not say theirs.

    Raises:
        InvalidArchive: of none of these kinds, damaged or cut short, or with a member that no data set needs: a link, a
            device, an encrypted or sparse file, a path that points outside, a name that is there twice or that cannot be
            read for certain.
        TooLarge: over one of the limits, as counted while reading.
    """
    unpacker = Unpacker(Meter(limits, path.stat().st_size), folder)
    decoder = NameDecoder(names)
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        head = file.read(kinds.HEAD_BYTES)
        file.seek(0)
        if _is_one_file(file, head, limits):
            yield Collected(UPLOAD, path, is_upload=True)
        elif kinds.is_zip(head):
            yield from _with_inner(read_zip(file, unpacker, decoder), unpacker, decoder)
        elif kinds.is_tar(head):
            yield from _with_inner(read_tar(file, unpacker, decoder), unpacker, decoder)
        elif (found := unpacked(file, head)) is not None:
            yield from _read_packed(*found, unpacker, decoder)
        else:
            raise _refuse_upload(_what_it_is(head), _FETCH if kinds.is_lfs_pointer(head) else _REMEDY)
    yield from decoder.told()
    yield from unpacker.told()


def _is_one_file(file: BinaryIO, head: bytes, limits: ArchiveLimits) -> bool:
    """Whether the upload itself is a file that holds many images."""
    if kinds.is_zip(head):
        return kinds.may_be_npz(head) and is_npz(file, limits.max_files)
    return kinds.holds_images(UPLOAD, head)


def _read_packed(packer: str, stream: Readable, unpacker: Unpacker, decoder: NameDecoder) -> Iterator[Found]:
    head = b""
    while len(head) < kinds.HEAD_BYTES and (piece := stream.read(kinds.HEAD_BYTES - len(head))):
        head += piece
    if kinds.is_tar(head):
        with Ahead(Again(head, stream)) as ahead:
            yield from _with_inner(read_tar(ahead, unpacker, decoder), unpacker, decoder)
    elif kinds.is_idx(head):
        yield replace(unpacker.collect(UPLOAD, unpacker.metered(Again(head, stream))), is_upload=True)
    else:
        _check_first_block(stream)
        raise _refuse_upload(f"is packed by {packer} and holds no tar: what it holds {_what_it_is(head)}")


def _with_inner(files: Iterator[Found | Inner], unpacker: Unpacker, decoder: NameDecoder) -> Iterator[Found]:
    """The same, with the files of tars within the archive, such as WebDataset's shards, in their places."""
    for found in files:
        if not isinstance(found, Inner):
            yield found
            continue
        try:
            # Of one level, and within the limits of the whole upload.
            yield from cast(Iterator[Found], read_tar(found.content, unpacker, decoder, found.name))
        except InvalidArchive as error:
            raise refuse(found.name, f"cannot be unpacked: {error.detail}", error.remedy or "") from error


def _check_first_block(stream: Readable) -> None:
    """Raises InvalidArchive if the beginning was damaged, which is no reason to call it something else."""
    left = _MOST_BLOCK_BYTES
    while left > 0 and (piece := stream.read(left)):
        left -= len(piece)


def _what_it_is(head: bytes) -> str:
    if not head:
        return "is empty"
    if is_image(head):
        return "is a single image"
    if b"NUMPY" in head[1:8]:
        return "is a damaged array of NumPy's: its first byte was changed, as a transfer in text mode does"
    described = kinds.describe("", head)
    return f"is {described}, which is not read here" if described else "is in no format that is read here"


def _refuse_upload(what: str, remedy: str = _REMEDY) -> InvalidArchive:
    return InvalidArchive(f"the file {what}", field="archive", remedy=remedy)
