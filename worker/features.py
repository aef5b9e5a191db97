"""Making features: a view's images, or a dataset's own, through a backbone. And reading them again."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name

import numpy as np

from noisegate.data.packing import IMAGES_FILE
from noisegate.learning.cells import CellFeatures
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.networks.backbones import backbone_of
from noisegate.networks.pretrained import LoadedBackbone
from noisegate.spec.derived import Features
from noisegate.store import derived
from noisegate.store.artefacts import Artefacts
from noisegate.store.derived import StoredFile
from noisegate.store.packed import open_packed
from worker.making import Making

FEATURES_FILE = "features.npy"
# The backbone itself: processes that train on the features need it for cards and models, without loading its weights anew.
GRAPH_FILE, WEIGHTS_FILE = "backbone.onnx", "backbone.safetensors"

# By name: timm and torchvision take seconds to load.
_LOAD = "noisegate.networks.backbones.loading:load"
# Images of one finished piece: some ten seconds of a core.
_PIECE = 512


def make_features(making: Making) -> dict[str, Path]:
    """`features.npy`, in pieces, and the backbone that computed them.

    Raises:
        SourceUnavailable: the backbone's weights cannot be had.
    """
    asked = making.row.parameters
    assert isinstance(asked, Features)
    images = _images(making)
    making.total = len(images)
    encoder = _encoder(making, asked, images.shape[1])
    for start in range(0, len(images), _PIECE):
        chosen = slice(start, min(start + _PIECE, len(images)))
        if _name(chosen) not in making.pieces:
            file = making.folder / _name(chosen)
            _write(file, encoder(images[chosen], making.check))
            making.keep(_name(chosen), file)
        making.done = chosen.stop
        making.check()
    file = making.folder / FEATURES_FILE
    _write(file, np.concatenate(list(_pieces(making, len(images)))))
    return {FEATURES_FILE: file} | _written(making, encoder)


def read_features(artefacts: Artefacts, files: dict[str, StoredFile], train_count: int) -> CellFeatures:
    """Features that are ready, mapped into memory, and the backbone that computed them.

    Raises:
        FileNotFoundError: the artefact root is not the one that they were written to.
    """
    features = _read(artefacts.fetch(files[FEATURES_FILE].digest))
    graph, weights = (artefacts.read(files[name].digest) for name in (GRAPH_FILE, WEIGHTS_FILE))
    return CellFeatures(features[:train_count], features[train_count:], Encoder(graph, weights))


def _images(making: Making) -> np.ndarray:
    resources, row = making.resources, making.row
    digest = None
    if row.parent_id is not None:
        with resources.sessions.reading() as session:
            digest = derived.files_of(session, row.parent_id)[IMAGES_FILE].digest
    return open_packed(resources.artefacts, row.dataset, digest).images


def _encoder(making: Making, asked: Features, image_size: int) -> Encoder:
    """That of an earlier attempt, so that all pieces are computed by the same bytes."""
    if WEIGHTS_FILE not in making.pieces:
        folder = making.resources.settings.weights_dir
        # Published weights stay what they are.
        made = (_published if asked.weights == "default" else _make_encoder)(asked, image_size, folder)
        for name, file in _written(making, made).items():
            making.keep(name, file)
    graph, kept = (making.piece(name).read_bytes() for name in (GRAPH_FILE, WEIGHTS_FILE))
    return Encoder(graph, kept)


def _make_encoder(asked: Features, image_size: int, folder: Path | None) -> Encoder:
    load: Callable[..., LoadedBackbone] = resolve_name(_LOAD)
    weights = None if asked.weights == "default" else asked.weights
    return make_encoder(load(backbone_of(asked.backbone), weights, folder), image_size)


# It takes a quarter of a minute; several datasets may be asked for with the same backbone.
_published = lru_cache(maxsize=1)(_make_encoder)


def _written(making: Making, encoder: Encoder) -> dict[str, Path]:
    # The weights last: where they are kept, the graph is.
    contents = {GRAPH_FILE: encoder.graph, WEIGHTS_FILE: encoder.weights}
    for name, content in contents.items():
        (making.folder / name).write_bytes(content)
    return {name: making.folder / name for name in contents}


def _pieces(making: Making, images: int) -> Iterator[np.ndarray]:
    for start in range(0, images, _PIECE):
        yield _read(making.piece(_name(slice(start, min(start + _PIECE, images)))))


def _name(chosen: slice) -> str:
    return f"features-{chosen.start}-{chosen.stop}"


def _write(file: Path, features: np.ndarray) -> None:
    with file.open("wb") as opened:
        np.save(opened, features, allow_pickle=False)


def _read(file: Path) -> np.ndarray:
    features: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)  # noqa: TID251
    return features
