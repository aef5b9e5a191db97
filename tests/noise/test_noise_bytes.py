"""What a seed means, to the byte. These digests may change only with a note that stored experiments no longer repeat."""

import hashlib
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from noisegate.noise import NoiseSpec
from noisegate.noise.drawing import noise_images

ADAPTER: TypeAdapter[NoiseSpec] = TypeAdapter(NoiseSpec)

# Five images of 11 pixels; as drawn by the first version of this library.
FIRST_VERSION: list[tuple[dict[str, Any], str]] = [
    ({"family": "uniform"}, "c2a7eff19a9e6fee6544553cbb31914c7ae3addace4ff353039a7f83398b8939"),
    (
        {"family": "uniform", "low": 127, "high": 177},
        "6ad145e9f8ff3d8d9df3f93356e7d0a85eb986de8cff0373a4a9ffca47ce4750",
    ),
    ({"family": "gaussian"}, "d611cc80d99690d670b692b3fa3ea1880d33381763a141b1dc19a477c88ad6ee"),
    (
        {"family": "gaussian", "mean": 31.5, "std": 10.25},
        "6959e121b3403804ab197044de405afb82eb58a1f8e255e17933d6ea57e8fae6",
    ),
]
FIRST_VERSION_FILTERED = {
    ("uniform", "mean", 3): "4761fa5a6c2b8416d2de1ae8bfc7cc40ccb69ed221c4ec629dc663c55ac3db3d",
    ("uniform", "mean", 5): "30af5905cf74f5b381a50059b43d8c3f267aaff45909a35032f78fe257b0608e",
    ("uniform", "mean", 7): "e329b6b8203c6c20ee50dac6ed7195f29500a0d6f349e4083205be6a9651e9c6",
    ("uniform", "median", 3): "daf4af54f0044c02ab472c0901c9fb40497cf902e852379a2caa7b0cdc0a7e35",
    ("uniform", "median", 5): "9f421404442e2ecafed88da1ced30aea1d164deeb65dc268f20720550a46736b",
    ("uniform", "median", 7): "624c309b888a510f8572b3a372d775ad3d50455f8b4f707efd5b358d14fd77be",
    ("gaussian", "mean", 3): "b5d7a62dcb997ff3da5386afa6554d14bc655987d0bed5d9cdc5380522608d93",
    ("gaussian", "mean", 5): "27fd1a2870712e2bf287ab7e05640a5f8c8fe50c4a01fd074312f2e44d1434a0",
    ("gaussian", "mean", 7): "3d0d5a266bc723b2c1c89d9a9d4a9ce4517b4da0a1d8cd26cc304c05dafc125c",
    ("gaussian", "median", 3): "73653554ccdd125610f664f599b50c4033e354c3f5ba0a1bbad34df46a372649",
    ("gaussian", "median", 5): "d8af9c69fdc3459a0af9167e5be91d02b8df7e6077881541cd54f6abe3f0a282",
    ("gaussian", "median", 7): "7e43e0ab7b02e79ed0ef65c7ae50e38e4dea3a44dcb4b5ebf6fa0e193ae617ba",
}
# 1,500 images, which is more than one chunk, of 32 and 31 pixels.
FIRST_VERSION_CHUNKS = {
    ("gaussian", 32): "5bcdd4df63710e8e75d6d48a8a81d4f9a0e5eacfc8af1c2f13f1654667cdcdc0",
    ("uniform", 31): "05382c7218bf1e1f127b508d922bf78f30b3c0e05ce5cc5e2a22146c20d566be",
}
# Sixteen images of 11 pixels, and of 32 or 20.
OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"family": "solid"}, "be521a37ce5923b6ec087f3f741cabb5ee7f9a636fc4cac14c0781250daaf0e4"),
    ({"family": "gray"}, "f67a82ec6113bb4f61d0e4e77ec2b1dcc6e7f1e81f225d6acc55894a0989ccbb"),
    (
        {"family": "mixture", "means": [63, 191.5], "stds": [0, 30], "filter_sizes": [1, 3]},
        "0bf927082421dd5dca58e4aeecd27931ae3a3938b9daf66eb47e71434a3433f4",
    ),
    (
        {"family": "mixture", "means": [100], "stds": [80], "filter_kind": "median", "filter_sizes": [5]},
        "431687dcef146d657be1d409ac4185a6294ac38a030e336928865946fc0d00aa",
    ),
]
STRUCTURED = {
    ("uniform", 32): "e16e4570810796eaff921482d04534b27c937ffc476c5d09402c50189070e4b1",
    ("gaussian", 32): "a510e069dc6f81526feaf5ad6bf8e44099ebaec1467a2f375f696c58af225192",
    ("smooth", 32): "417a5e891b16dfdd72c90e910140995b41d55afe41e39208b9b1436635fb6171",
    ("two_colour", 32): "2be1d1365631686d72c9c33f63ad3623fdb979b4623f17265f07dc6676c8ccda",
    ("grating", 32): "b460a3c0a402b7656f324e3f9562ff98d12475e54a3576756b8cff7573655b48",
    ("patches", 32): "3d17355c20e7cc64e17005ab603375e1af53f78fdf56d68dab80a3a73a2dc421",
    ("solid", 32): "a8be0a5b10dc33d0dc69e7f54d20be845c05a3f6d0cf253ac1a6da4e9fcd1ec2",
    ("all", 32): "3b832603a102fa3c66207664a91ab9b800b020fbc2f1feacddd542a7145bf41d",
    ("all", 20): "c89d4f74eeee7d8c6f109d7365dca224e857fd361650fec6ab978ae6051c1254",
}


def digest(document: dict[str, Any], count: int, image_size: int) -> str:
    training_images = (np.arange(4 * image_size**2 * 3) % 251).astype(np.uint8).reshape(4, image_size, image_size, 3)
    spec = ADAPTER.validate_python(document)
    images = noise_images(np.random.default_rng(2026), spec, count, image_size, training_images)
    return hashlib.sha256(images.tobytes()).hexdigest()


@pytest.mark.parametrize(("document", "expected"), FIRST_VERSION)
def test_the_first_families_are_as_in_the_first_version(document: dict[str, Any], expected: str) -> None:
    assert digest(document, 5, 11) == expected


@pytest.mark.parametrize(("family", "kind", "size"), FIRST_VERSION_FILTERED)
def test_filters_are_as_in_the_first_version(family: str, kind: str, size: int) -> None:
    document = {"family": family, "filter": {"kind": kind, "size": size}}
    assert digest(document, 5, 11) == FIRST_VERSION_FILTERED[family, kind, size]


@pytest.mark.parametrize(("family", "image_size"), FIRST_VERSION_CHUNKS)
def test_chunks_are_as_in_the_first_version(family: str, image_size: int) -> None:
    assert digest({"family": family}, 1500, image_size) == FIRST_VERSION_CHUNKS[family, image_size]


@pytest.mark.parametrize(("document", "expected"), OTHERS)
def test_the_other_families_keep_their_bytes(document: dict[str, Any], expected: str) -> None:
    assert digest(document, 16, 11) == expected


@pytest.mark.parametrize(("kind", "image_size"), STRUCTURED)
def test_structured_noise_keeps_its_bytes(kind: str, image_size: int) -> None:
    document = {"family": "structured"} | ({} if kind == "all" else {"kinds": [kind]})
    assert digest(document, 16, image_size) == STRUCTURED[kind, image_size]
