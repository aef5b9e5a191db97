"""Arrays of NumPy's, as .npy files or in an .npz: images and labels, paired by their names.

train_images, train_labels, val_images, … test_labels     MedMNIST
x_train, y_train, x_test, y_test                          Keras
images, labels; cifar10.1_v6_data, cifar10.1_v6_labels    no parts named: split later
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from noisegate.data.formats.array_labels import check_alike, check_labels, class_names
from noisegate.data.formats.fixed_rows import Rows, check_limits
from noisegate.data.formats.npy import NPY_MAGIC, NpyFile, open_npy
from noisegate.data.formats.npz import NPZ_MAGIC, unpacked
from noisegate.data.formats.parts import paired, part_of, row_name
from noisegate.data.formats.pixel_values import Geometry, check_highest, geometry_of, to_levels, white_of
from noisegate.data.formats.readers import Reader
from noisegate.data.members import ArchiveLimits, Collected, Label, LeftOut, Member, NamedSplit, refuse
from noisegate.errors import InvalidArchive

_NO_ROLE = "is an array, and its name says neither images nor labels, as train_images and train_labels or x_train and y_train do"
_PAIR = "Send one .npz with the arrays images and labels, or images.npy and labels.npy in one archive."
# The 19 kinds of CIFAR-10-C and CIFAR-100-C; each file holds the same 10,000 test images five times over.
_CORRUPTIONS = {
    "brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_blur", "gaussian_noise",
    "glass_blur", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "saturate", "shot_noise", "snow", "spatter",
    "speckle_noise", "zoom_blur",
}  # fmt: skip


@dataclass(frozen=True)
class _Opened:
    split: NamedSplit | None
    images: NpyFile
    labels: NpyFile
    geometry: Geometry


def read(
    files: Sequence[Collected],
    attachments: Mapping[str, bytes],  # noqa: ARG001
    limits: ArchiveLimits,
    folder: Path,
) -> Iterator[Member | LeftOut]:
    """The images of all arrays that have labels.

    Raises:
        InvalidArchive: arrays that do not go together, hold no images of 8 bits or pickles, or are damaged.
        TooLarge: over one of the limits.
    """
    arrays = unpacked(files, limits, folder)
    with_role = [array for array in arrays if part_of(array.name).role]
    others = [array for array in arrays if not part_of(array.name).role]
    _refuse_corruptions(others)
    for array in with_role:
        open_npy(array)  # what is damaged is to be called so, before it is called one of two
    pairs, copies = paired(with_role)
    yield from (*copies, *(_without_role(array) for array in others))
    opened = [_open(pair.split, open_npy(pair.images), open_npy(pair.labels)) for pair in pairs]
    check_alike([pair.labels for pair in opened])
    check_limits((Rows(pair.images.name, pair.images.shape[0], pair.geometry.image_bytes) for pair in opened), limits)
    for pair in opened:
        yield from _images(pair)


def _without_role(array: Collected) -> LeftOut:
    """What to say of an array whose name says neither images nor labels; if it is damaged, that."""
    try:
        open_npy(array)
    except InvalidArchive as error:
        return LeftOut(array.name, error.detail.removeprefix(f"{array.name!r} "), error.remedy or "")
    return LeftOut(array.name, _NO_ROLE, _PAIR)


def _open(split: NamedSplit | None, images: NpyFile, labels: NpyFile) -> _Opened:
    check_labels(labels, images)
    return _Opened(split, images, labels, geometry_of(images))


def _images(pair: _Opened) -> Iterator[Member]:
    names = class_names(pair.labels)
    white = white_of(pair.images)
    row = highest = 0
    for block in pair.images.blocks():
        highest = max(highest, int(block.max()))
        for pixels in pair.geometry.to_rgb(to_levels(block, white)):
            yield Member(row_name(pair.split, row), pixels, Label(names[row], pair.split))
            row += 1
    check_highest(pair.images, highest)


def _refuse_corruptions(arrays: Sequence[Collected]) -> None:
    found = [array.name for array in arrays if PurePosixPath(array.name).stem in _CORRUPTIONS]
    if found:
        what = "is one of the corrupted test sets of CIFAR-10-C or its like: the same images at five strengths, none to train from"
        raise refuse(
            found[0], what, "Send CIFAR-10 itself; classify the corrupted images with the model trained on it."
        )


def _owns(name: str, head: bytes) -> bool:  # noqa: ARG001
    return head.startswith((NPY_MAGIC, NPZ_MAGIC))


ARRAYS = Reader("an array of NumPy's", _owns, read)
