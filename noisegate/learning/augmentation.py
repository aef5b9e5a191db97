"""Random changes to images as they are shown: drawn on the host with the order of images, carried out on the device."""

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from noisegate.spec.recipe import Augmentation

# What is drawn for an image: mirrored or not, the shift down and across, and the middle of the covered square.
DRAWS = 5
_GRAY = 128

Draws = Int64[Tensor, "*batch draws"]


def draw_changes(
    asked: Augmentation, count: int, image_size: int, generator: torch.Generator
) -> Int64[Tensor, "count draws"]:
    """What to do with each of `count` images; the generator (a CPU's) alone decides."""
    flips = torch.randint(2 if asked.flip else 1, (count, 1), generator=generator)
    reach = asked.crop_padding
    shifts = torch.randint(-reach, reach + 1, (count, 2), generator=generator)
    middles = torch.randint(image_size, (count, 2), generator=generator)
    return torch.cat([flips, shifts, middles], dim=1)


def changed(
    images: UInt8[Tensor, "n size size 3"],
    places: Int64[Tensor, " batch"],
    draws: Int64[Tensor, "batch draws"],
    asked: Augmentation,
) -> UInt8[Tensor, "batch size size 3"]:
    """The images at `places`, changed as drawn. What a shift brings in is the image's mirror image, its edge not repeated."""
    size = images.shape[1]
    flips, down, across, *middle = draws.unbind(dim=1)
    steps = torch.arange(size, device=images.device)
    rows = _mirrored(steps + down[:, None], size)
    columns = _mirrored(steps + across[:, None], size)
    columns = torch.where(flips[:, None] == 1, size - 1 - columns, columns)
    # One gather of whole pixels for crop and flip together: no image is copied twice.
    pixels = (places[:, None, None] * size + rows[:, :, None]) * size + columns[:, None, :]
    shown = images.reshape(-1, 3).index_select(0, pixels.flatten()).view(len(places), size, size, 3)
    if asked.cutout:
        covered = (
            _covered(steps, middle[0], asked.cutout)[:, :, None] & _covered(steps, middle[1], asked.cutout)[:, None, :]
        )
        shown = shown.masked_fill(covered[..., None], _GRAY)
    return shown


def flipped_as_drawn(
    images: Float32[Tensor, "n ..."],
    flipped: Float32[Tensor, "n ..."],
    places: Int64[Tensor, " batch"],
    draws: Int64[Tensor, "batch draws"],
) -> Float32[Tensor, "batch ..."]:
    """The features at `places` of images as they are, or of the same images flipped, as drawn; nothing else is changed of them."""
    chosen = draws[:, 0].view(-1, *[1] * (images.ndim - 1)) == 1
    return torch.where(chosen, flipped.index_select(0, places), images.index_select(0, places))


def _mirrored(places: Int64[Tensor, "batch size"], size: int) -> Int64[Tensor, "batch size"]:
    folded = places.abs()
    return torch.where(folded < size, folded, 2 * (size - 1) - folded)


def _covered(steps: Int64[Tensor, " size"], middle: Int64[Tensor, " batch"], side: int) -> Tensor:
    """Which rows, or columns, a square of this side covers; [batch, size]."""
    first = (middle - side // 2)[:, None]
    return (steps >= first) & (steps < first + side)
