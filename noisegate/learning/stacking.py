"""Many networks of one architecture as one: their parameters stacked, so that a kernel works on all of them at once.

Three ways to say the same function; which is fastest, a device decides (docs/decisions/0012-many-executions-at-once.md):

- `vmapped`: PyTorch's own batching of a module's code; any architecture will do.
- `grouped`: a convolution of many networks is one grouped convolution, with the networks' channels side by side.
- `multiplied`: a convolution is a matrix product over windows of the image (im2col), and many are a batched one.

No network's numbers enter another's, whatever they are: one that has
diverged spoils no other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

Form = Literal["grouped", "multiplied", "vmapped"]

Parameters = Mapping[str, Float[Tensor, " executions *shape"]]
Images = Float[Tensor, "executions batch size size 3"]
Logits = Float[Tensor, "executions batch outputs"]

# The architecture (its own parameters are not looked at), the parameters of all networks, and a batch for each.
Forward = Callable[[nn.Module, Parameters, Images], Logits]


def vmapped(network: nn.Module, parameters: Parameters, images: Images) -> Logits:
    """The logits of each network for its batch, in the type of `parameters`."""

    def one(own: dict[str, Tensor], batch: Float[Tensor, "batch size size 3"]) -> Float[Tensor, "batch outputs"]:
        logits: Tensor = functional_call(network, own, (batch.permute(0, 3, 1, 2),))[0]
        return logits

    logits: Tensor = torch.vmap(one)(dict(parameters), images)
    return logits


def grouped(network: nn.Module, parameters: Parameters, images: Images) -> Logits:
    """The logits of each network for its batch, in the type of `parameters`."""
    return _through_layers(_SideBySide(len(images)), network, parameters, images)


def multiplied(network: nn.Module, parameters: Parameters, images: Images) -> Logits:
    """The logits of each network for its batch, in the type of `parameters`."""
    return _through_layers(_Behind(len(images)), network, parameters, images)


FORMS: dict[Form, Forward] = {"grouped": grouped, "multiplied": multiplied, "vmapped": vmapped}


def _through_layers(layout: "_Layout", network: nn.Module, parameters: Parameters, images: Images) -> Logits:
    values, bias = layout.lay_out(images), None
    for name, layer in network.get_submodule("body").named_children():
        if bias is not None and not isinstance(layer, nn.MaxPool2d):
            values, bias = layout.add(values, bias), None
        match layer:
            case nn.Conv2d():
                values = layout.convolve(values, parameters[f"body.{name}.weight"], _margin(layer))
                bias = parameters.get(f"body.{name}.bias")
            case nn.MaxPool2d():
                values = layout.pool(values, layer)
                # A convolution's bias is added to the largest value of a window instead of to all: rounding being monotone, that
                # is the same to the last bit, and there are a quarter as many.
                if bias is not None:
                    values, bias = layout.add(values, bias), None
            case nn.ReLU():
                values = functional.relu(values)
            case nn.Flatten():
                values = layout.flatten(values)
            case nn.Linear():
                values = _linear(values, parameters, f"body.{name}")
            case _:
                raise NotImplementedError(f"{type(layer).__name__} has no stacked form")
    assert bias is None, "a convolution is followed by another layer"
    return _linear(values, parameters, "head")


class _Layout(ABC):
    """How the values of many networks lie in memory, and the few things that depend on it."""

    @abstractmethod
    def lay_out(self, images: Images) -> Tensor: ...

    @abstractmethod
    def convolve(self, values: Tensor, weight: Tensor, margin: int) -> Tensor: ...

    @abstractmethod
    def pool(self, values: Tensor, layer: nn.MaxPool2d) -> Tensor: ...

    @abstractmethod
    def add(self, values: Tensor, bias: Float[Tensor, "executions channels"]) -> Tensor: ...

    @abstractmethod
    def flatten(self, values: Tensor) -> Float[Tensor, "executions batch values"]: ...


class _SideBySide(_Layout):
    """(batch, executions · channels, height, width), channels last: what happens to a channel concerns no other."""

    def __init__(self, executions: int) -> None:
        self._executions = executions

    def lay_out(self, images: Images) -> Tensor:
        together = images.permute(1, 0, 4, 2, 3).flatten(1, 2)
        return together.contiguous(memory_format=torch.channels_last)

    def convolve(self, values: Tensor, weight: Tensor, margin: int) -> Tensor:
        return functional.conv2d(values, weight.flatten(0, 1), padding=margin, groups=self._executions)

    def pool(self, values: Tensor, layer: nn.MaxPool2d) -> Tensor:
        pooled: Tensor = layer(values)
        return pooled

    def add(self, values: Tensor, bias: Tensor) -> Tensor:
        return values + bias.flatten()[:, None, None]

    def flatten(self, values: Tensor) -> Tensor:
        return values.reshape(len(values), self._executions, -1).transpose(0, 1)


class _Behind(_Layout):
    """(executions, batch, height, width, channels): networks one behind the other, each with its channels last."""

    def __init__(self, executions: int) -> None:
        self._executions = executions

    def lay_out(self, images: Images) -> Tensor:
        return images

    def convolve(self, values: Tensor, weight: Tensor, margin: int) -> Tensor:
        # From (out, in, down, across) to (down, across, in, out): the order in which a window lies in memory.
        convolved: Tensor = _Convolution.apply(values, weight.permute(0, 3, 4, 2, 1), margin)
        return convolved

    def pool(self, values: Tensor, layer: nn.MaxPool2d) -> Tensor:
        pooled: Tensor = layer(values.flatten(0, 1).permute(0, 3, 1, 2))
        return pooled.permute(0, 2, 3, 1).reshape(*values.shape[:2], *pooled.shape[2:], -1)

    def add(self, values: Tensor, bias: Tensor) -> Tensor:
        return values + bias[:, None, None, None]

    def flatten(self, values: Tensor) -> Tensor:
        return values.permute(0, 1, 4, 2, 3).flatten(2)


class _Convolution(torch.autograd.Function):
    """Stride 1, as large as the image: windows of the padded image, times the weights.

    The gradient of the image is again such a product: windows of the outer gradient, times the weights turned round.
    Autograd by itself would add up 25 overlapping gradients instead.
    """

    @staticmethod
    def forward(
        context: Any,
        images: Float[Tensor, "executions batch height width channels"],
        taps: Float[Tensor, "executions down across channels out"],
        margin: int,
    ) -> Float[Tensor, "executions batch height width out"]:
        windows = _windows(images, margin)
        # Kept, not made anew: moving them a third time would cost more than the room they take.
        context.save_for_backward(windows, taps)
        context.margin = margin
        return torch.bmm(windows, taps.flatten(1, 3)).view(*images.shape[:4], -1)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> tuple[Tensor | None, Tensor, None]:
        (outer,) = gradients
        windows, taps = context.saved_tensors
        of_taps = torch.bmm(windows.transpose(1, 2), outer.flatten(1, 3)).view(taps.shape)
        if not context.needs_input_grad[0]:
            return None, of_taps, None
        turned = taps.flip(1, 2).transpose(3, 4).flatten(1, 3)
        of_images = torch.bmm(_windows(outer, context.margin), turned)
        return of_images.view(*outer.shape[:4], -1), of_taps, None


def _windows(
    images: Float[Tensor, "executions batch height width channels"], margin: int
) -> Float[Tensor, "executions places values"]:
    """The square of pixels around every pixel, zeros beyond the edge: one copy of all."""
    side = 2 * margin + 1
    padded = functional.pad(images, (0, 0, margin, margin, margin, margin))
    # A view (…, height, width, down, across, channels), whose last two follow each other in memory.
    squares = padded.unfold(2, side, 1).unfold(3, side, 1).permute(0, 1, 2, 3, 5, 6, 4)
    return squares.flatten(4, 6).flatten(1, 3)


def _linear(values: Float[Tensor, "executions batch values"], parameters: Parameters, name: str) -> Tensor:
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return torch.baddbmm(bias[:, None], values, weight.transpose(1, 2))


def _margin(layer: nn.Conv2d) -> int:
    """The padding of a convolution that leaves an image as large as it was; no other has a stacked form."""
    side, down = layer.kernel_size
    assert side == down
    assert (side % 2, layer.stride, layer.padding) == (1, (1, 1), (side // 2, side // 2))
    return side // 2
