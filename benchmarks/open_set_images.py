"""What `open_set_flowers` shows its networks: photographs, unknown images and noise, and what a backbone computes of them."""

import itertools
import tarfile
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from noisegate.evaluation.families import UNKNOWN_FAMILIES, KnownImages, family_chunks
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.networks.backbones import EMBEDDED, backbone_of
from noisegate.networks.backbones.loading import load
from noisegate.noise.drawing import noise_images
from noisegate.seeds import derive_seed
from noisegate.spec import parse_spec

Pixels = UInt8[np.ndarray, "n size size 3"]
Rows = Float32[np.ndarray, "n width"]

CLASSES, KNOWN = 5, 3
CHOICES = tuple(itertools.combinations(range(CLASSES), KNOWN))
A_CLASS, TRAINED = 300, 150
SIZE = 224
# Stages whose activations are averaged over the image, besides the features at the end.
STAGES = ("blocks.3", "blocks.5")
_FAR, _OF_FAMILY = 500, 100
NOISE = tuple(name for name, family in UNKNOWN_FAMILIES.items() if family.group == "noise")
_LIMITS = ImageLimits()


@dataclass(frozen=True)
class Split:
    """Places of one choice's images in its classes' photographs: [class, 150] of those known, and of the other two the tested."""

    known: tuple[int, ...]
    others: tuple[int, ...]
    train: np.ndarray
    test: np.ndarray


def split_of(choice: int) -> Split:
    """Which photographs of each class are trained on and which are tested on; another draw for each choice."""
    generator = np.random.default_rng(derive_seed(0, "split", choice))
    order = np.stack([generator.permutation(A_CLASS) for _ in range(CLASSES)])
    known = CHOICES[choice]
    others = tuple(one for one in range(CLASSES) if one not in known)
    return Split(known, others, order[:, :TRAINED], order[:, TRAINED:])


def photographs(archive: Path, size: int = SIZE) -> UInt8[np.ndarray, "classes n size size 3"]:
    """300 of each class of a tar of <class>/*, drawn at random; classes in the order of their names."""
    return np.stack([_decoded(_drawn(files, A_CLASS), size) for _, files in sorted(_files(archive).items())])


def far_images(flowers: np.ndarray, cifar10: Path) -> dict[str, Pixels]:
    """Images of no flower at the size of the photographs, and `exposure`: others of CIFAR-10, to train on."""
    files, size = _files(cifar10), flowers.shape[2]
    tested = sorted(file for (part, _), of_class in files.items() if part == "test" for file in of_class)
    trained = sorted(file for (part, _), of_class in files.items() if part == "train" for file in of_class)
    found = {"cifar10": _decoded(_drawn(tested, _FAR), size), "exposure": _decoded(_drawn(trained, TRAINED), size)}
    known = KnownImages(flowers[:, :60].reshape(-1, *flowers.shape[2:]), np.repeat(np.arange(CLASSES), 60))
    for name in (*NOISE, "digits", "inverted"):
        generator = np.random.default_rng(derive_seed(0, name))
        wanted = _FAR if name == "digits" else _OF_FAMILY
        found[name] = np.concatenate(list(family_chunks(UNKNOWN_FAMILIES[name], generator, known, wanted)))
    return found


def structured(flowers: np.ndarray, choice: int) -> Pixels:
    """As many images of structured noise as a class has to train on, made of the choice's own training images."""
    split = split_of(choice)
    sources = np.concatenate([flowers[one][split.train[one]] for one in split.known])
    spec: Any = parse_spec({"dataset": "any", "noise": {"family": "structured", "quantity": 1}})
    generator = np.random.default_rng(derive_seed(0, "structured", choice))
    return noise_images(generator, spec.noises[0], TRAINED, SIZE, sources)


@dataclass(frozen=True)
class Shown:
    """What the backbone computes: by the name of a kind of features, of photographs, far images and each choice's noise."""

    flowers: dict[str, Float32[np.ndarray, "classes n width"]]
    far: dict[str, dict[str, Rows]]
    structured: dict[str, Float32[np.ndarray, "choices n width"]]


def features(archive: Path, cifar10: Path, kept: Path, kinds: Collection[str]) -> Shown:
    """Those of some kinds in the folder `kept`, where they are written first: two to four minutes of a core a kind."""
    kept.mkdir(parents=True, exist_ok=True)
    if missing := [kind for kind in kinds if not (kept / f"{kind}.done").exists()]:
        _compute(photographs(archive), cifar10, kept, missing)
    files = [file for file in kept.glob("*.npy") if file.stem.split("-")[0] in kinds]
    arrays = {file.stem: np.load(file, allow_pickle=False) for file in files}  # noqa: TID251
    names = sorted({name.split("-", 2)[2] for name in arrays if name.split("-")[1] == "far"})
    return Shown(
        flowers={kind: arrays[f"{kind}-flowers"] for kind in kinds},
        far={kind: {name: arrays[f"{kind}-far-{name}"] for name in names} for kind in kinds if kind != "mirrored"},
        structured={kind: arrays[f"{kind}-structured"] for kind in kinds if kind != "mirrored"},
    )


def _compute(flowers: np.ndarray, cifar10: Path, kept: Path, kinds: Collection[str]) -> None:
    loaded = load(backbone_of(EMBEDDED), None, None)
    far = far_images(flowers, cifar10)
    noise = np.stack([structured(flowers, choice) for choice in range(len(CHOICES))])
    for kind in kinds:
        if kind == "mirrored":
            mirrored = make_encoder(loaded, SIZE).mirrored
            np.save(kept / "mirrored-flowers.npy", np.stack([mirrored(of_class) for of_class in flowers]))
            (kept / f"{kind}.done").touch()
            continue
        encoder = make_encoder(
            loaded, SIZE, kind if kind in STAGES else None, "several" if kind == "several" else "last"
        )
        np.save(kept / f"{kind}-flowers.npy", _stacked(encoder, flowers))
        np.save(kept / f"{kind}-structured.npy", _stacked(encoder, noise))
        for name, images in far.items():
            np.save(kept / f"{kind}-far-{name}.npy", _pooled(encoder(images)))
        (kept / f"{kind}.done").touch()


def _stacked(encoder: Encoder, images: np.ndarray) -> np.ndarray:
    return np.stack([_pooled(encoder(some)) for some in images])


def _pooled(computed: np.ndarray) -> Rows:
    """The mean over the image of what has sides."""
    return computed if computed.ndim == 2 else computed.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def _files(archive: Path) -> dict[Any, list[bytes]]:
    """Contents by class, or by part and class, in the order of their names."""
    found: dict[Any, list[tuple[str, bytes]]] = defaultdict(list)
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isfile() and (content := opened.extractfile(member)):
                folder = PurePosixPath(member.name).parts[:-1]
                found[folder if len(folder) > 1 else folder[0]].append((member.name, content.read()))
    return {key: [content for _, content in sorted(files)] for key, files in found.items()}


def _drawn(files: list[bytes], count: int) -> list[bytes]:
    return [files[place] for place in np.random.default_rng(0).permutation(len(files))[:count]]


def _decoded(files: list[bytes], size: int) -> Pixels:
    return np.stack([decode_image(file, size, _LIMITS) for file in files])
