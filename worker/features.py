"""Making features: a view's images, or a dataset's own, through a backbone. And reading them again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name

import numpy as np

from noisegate.data.packing import IMAGES_FILE
from noisegate.learning.cells import CellFeatures
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.learning.quantising import in_8_bits
from noisegate.networks.backbones import backbone_of
from noisegate.networks.pretrained import LoadedBackbone
from noisegate.spec.derived import Features
from noisegate.store import derived
from noisegate.store.artefacts import Artefacts
from noisegate.store.derived import StoredFile
from noisegate.store.packed import open_packed
from worker.making import Making

FEATURES_FILE, FLIPPED_FILE = "features.npy", "flipped.npy"
# The backbone itself: processes that train on the features need it for cards and models, without loading its weights anew.
GRAPH_FILE, WEIGHTS_FILE = "backbone.onnx", "backbone.safetensors"

# By name: timm and torchvision take seconds to load.
_LOAD = "noisegate.networks.backbones.loading:load"
# Images of one finished piece: some ten seconds of a core.
_PIECE = 512

Encode = Callable[[np.ndarray, Callable[[], None]], np.ndarray]


@dataclass(frozen=True)
class _Wanted:
    """One file to make: of which images, by what; its pieces are called as it is without the ending."""

    file: str
    images: np.ndarray
    encode: Encode

    @property
    def slices(self) -> list[slice]:
        count = len(self.images)
        return [slice(start, min(start + _PIECE, count)) for start in range(0, count, _PIECE)]

    def piece(self, chosen: slice) -> str:
        """The name of a piece."""
        return f"{self.file.removesuffix('.npy')}-{chosen.start}-{chosen.stop}"


def make_features(making: Making) -> dict[str, Path]:
    """`features.npy`, and `flipped.npy` if that is asked for, in pieces; and the backbone that computed them.

    Raises:
        SourceUnavailable: the backbone's weights cannot be had.
        StorageFull: no room for them: the disk is needed twice over while they are made.
    """
    asked = making.row.parameters
    assert isinstance(asked, Features)
    images = _images(making)
    encoder = _encoder(making, asked, images)
    wanted = [_Wanted(FEATURES_FILE, images, encoder)]
    if asked.flipped:
        wanted.append(_Wanted(FLIPPED_FILE, images[: making.row.dataset.train_count], encoder.mirrored))
    making.total = sum(len(one.images) for one in wanted)
    _check_room(making, wanted, encoder.bytes_an_image)
    before = 0
    for one in wanted:
        for chosen in one.slices:
            if one.piece(chosen) not in making.pieces:
                file = making.folder / one.piece(chosen)
                _write(file, one.encode(one.images[chosen], making.check))
                making.keep(one.piece(chosen), file)
            making.done = before + chosen.stop
            making.check()
        before += len(one.images)
    return {one.file: _joined(making, one) for one in wanted} | _written(making, encoder)


def read_features(artefacts: Artefacts, files: dict[str, StoredFile], train_count: int) -> CellFeatures:
    """Features that are ready, mapped into memory, and the backbone that computed them.

    Raises:
        FileNotFoundError: the artefact root is not the one that they were written to.
    """
    features = _read(artefacts.fetch(files[FEATURES_FILE].digest))
    flipped = _read(artefacts.fetch(files[FLIPPED_FILE].digest)) if FLIPPED_FILE in files else None
    graph, weights = (artefacts.read(files[name].digest) for name in (GRAPH_FILE, WEIGHTS_FILE))
    return CellFeatures(features[:train_count], features[train_count:], Encoder(graph, weights), flipped)


def _images(making: Making) -> np.ndarray:
    resources, row = making.resources, making.row
    digest = None
    if row.parent_id is not None:
        with resources.sessions.reading() as session:
            digest = derived.files_of(session, row.parent_id)[IMAGES_FILE].digest
    return open_packed(resources.artefacts, row.dataset, digest).images


def _encoder(making: Making, asked: Features, images: np.ndarray) -> Encoder:
    """That of an earlier attempt, so that all pieces are computed by the same bytes."""
    if WEIGHTS_FILE not in making.pieces:
        folder = making.resources.settings.weights_dir
        # Published weights stay what they are.
        plain = asked.model_copy(update={"precision": "float32"})
        made = (_published if asked.weights == "default" else _make_encoder)(plain, images.shape[1], folder)
        if asked.precision == "int8":
            made = in_8_bits(made, images[: making.row.dataset.train_count])
        for name, file in _written(making, made).items():
            making.keep(name, file)
    graph, kept = (making.piece(name).read_bytes() for name in (GRAPH_FILE, WEIGHTS_FILE))
    return Encoder(graph, kept)


def _make_encoder(asked: Features, image_size: int, folder: Path | None) -> Encoder:
    load: Callable[..., LoadedBackbone] = resolve_name(_LOAD)
    weights = None if asked.weights == "default" else asked.weights
    return make_encoder(load(backbone_of(asked.backbone), weights, folder), image_size, asked.upto, asked.layers)


# It takes a quarter of a minute; several datasets may be asked for with the same backbone.
_published = lru_cache(maxsize=1)(_make_encoder)


def _written(making: Making, encoder: Encoder) -> dict[str, Path]:
    # The weights last: where they are kept, the graph is.
    contents = {GRAPH_FILE: encoder.graph, WEIGHTS_FILE: encoder.weights}
    for name, content in contents.items():
        (making.folder / name).write_bytes(content)
    return {name: making.folder / name for name in contents}


def _check_room(making: Making, wanted: list[_Wanted], bytes_an_image: int) -> None:
    missing = sum(
        chosen.stop - chosen.start for one in wanted for chosen in one.slices if one.piece(chosen) not in making.pieces
    )
    needed = bytes_an_image * (sum(len(one.images) for one in wanted) + missing)
    making.check_room(needed, f"computing features of {len(wanted[0].images):,} images")


def _joined(making: Making, wanted: _Wanted) -> Path:
    """All pieces in one file, no more than one of them in memory."""
    file, whole = making.folder / wanted.file, None
    for chosen in wanted.slices:
        piece = _read(making.piece(wanted.piece(chosen)))
        if whole is None:
            shape = (len(wanted.images), *piece.shape[1:])
            whole = np.lib.format.open_memmap(file, mode="w+", dtype=piece.dtype, shape=shape)
        whole[chosen] = piece
        making.check()
    assert whole is not None, "there are images"
    whole.flush()
    return file


def _write(file: Path, features: np.ndarray) -> None:
    with file.open("wb") as opened:
        np.save(opened, features, allow_pickle=False)


def _read(file: Path) -> np.ndarray:
    features: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)  # noqa: TID251
    return features
