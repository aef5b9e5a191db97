"""What is done to an image before a network sees it, as data: the same numbers in training, in files and in serving."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

Statistics = Literal["mean_image", "channels", "features", "none"]

# Of a channel's levels: a training set of one gray level is divided by this instead of by 0.
_LEAST_STD = 1.0
# Of a feature, as a share of the mean one: a feature that is nearly always the same says little, and must not be blown up.
_LEAST_FEATURE_STD = 0.1

# What a network is trained on and asked for: images of levels 0 … 255; or what a backbone has computed of them, features or
# activations.
Inputs = (
    UInt8[np.ndarray, "_ size size 3"] | Float32[np.ndarray, "_ width"] | Float32[np.ndarray, "_ side side channels"]
)
InputTensor = UInt8[Tensor, "_ size size 3"] | Float32[Tensor, "_ width"] | Float32[Tensor, "_ side side channels"]


@dataclass(frozen=True)
class Preprocessing:
    """`mean` is subtracted from an image of levels 0 … 255; the rest is divided by `std`, where there is one.

    Both are in levels, `mean` of one image or of each channel, `std` of each channel. Of features, both are of each of them.
    """

    mean: Float32[Tensor, "*image values"]
    std: Float32[Tensor, " values"] | None = None

    def __call__(
        self, inputs: UInt8[Tensor, "*batch values"] | Float32[Tensor, "*batch values"]
    ) -> Float[Tensor, "*batch values"]:
        """What a network is shown: float32, channels last."""
        # Not inputs - mean: on a CPU, numbers of two kinds are subtracted six times slower.
        shown = inputs.to(torch.float32, copy=True).sub_(self.mean)
        return shown if self.std is None else shown.div_(self.std)

    def shown(self, inputs: InputTensor) -> Float[Tensor, "*shape"]:
        """The same as PyTorch's networks take it: channels first, where these are images or activations."""
        # NHWC seen as NCHW is what PyTorch calls channels_last: the fast layout, without moving a byte.
        return self(inputs).permute(0, 3, 1, 2) if inputs.ndim == 4 else self(inputs)

    def to(self, device: torch.device | str) -> "Preprocessing":
        """The same on a device."""
        return Preprocessing(self.mean.to(device), None if self.std is None else self.std.to(device))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its parts by the names that they have in a model's files."""
        return {"mean": self.mean} | ({} if self.std is None else {"std": self.std})


def fitted(statistics: Statistics, images: Inputs) -> Preprocessing:
    """The preprocessing by the statistics of all training images, those of the noise class included.

    mean_image: the mean image is subtracted, as in the paper. channels: each channel has mean 0 and standard deviation 1.
    features: each feature has, unless it hardly varies. none: nothing is changed, as of activations. Sums over images are exact
    (whole numbers), so their order does not matter.
    """
    if statistics == "features":
        return _fitted_to_features(images)
    if statistics == "none":
        return Preprocessing(torch.zeros(1))
    if statistics == "mean_image":
        return Preprocessing(torch.from_numpy(mean_image(images)))
    counts = np.stack([_level_counts(images, channel) for channel in range(images.shape[-1])])
    levels, total = np.arange(counts.shape[1]), counts[0].sum()
    mean = (counts @ levels) / total
    std = np.sqrt((counts @ levels**2) / total - mean**2)
    as_tensor = [torch.from_numpy(values.astype(np.float32)) for values in (mean, np.maximum(std, _LEAST_STD))]
    return Preprocessing(*as_tensor)


def _fitted_to_features(features: Float32[np.ndarray, "n width"]) -> Preprocessing:
    mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    std = np.maximum(std, max(_LEAST_FEATURE_STD * std.mean(), np.finfo(np.float32).tiny))
    return Preprocessing(*(torch.from_numpy(values.astype(np.float32)) for values in (mean, std)))


def mean_image(images: UInt8[np.ndarray, "n size size 3"]) -> Float32[np.ndarray, "size size 3"]:
    """The mean of the images, 0 … 255."""
    mean: Float32[np.ndarray, "size size 3"] = (images.sum(axis=0, dtype=np.uint64) / len(images)).astype(np.float32)
    return mean


def _level_counts(images: UInt8[np.ndarray, "n size size 3"], channel: int) -> np.ndarray:
    """How often each level occurs, a few thousand images at a time: all at once would be copied as whole numbers."""
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(images), 2000):
        counts += np.bincount(images[start : start + 2000, ..., channel].ravel(), minlength=256)
    return counts
