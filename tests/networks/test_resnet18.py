"""`resnet18` is torchvision's, but for its stem on small images."""

import pytest
import torch
from torchvision.models import resnet18

from noisegate.networks.building import architecture
from tests.learning.factories import fresh


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 1), (64, 3, 1), (65, 7, 2), (224, 7, 2)])
def test_up_to_64_pixels_its_stem_keeps_the_size(size: int, kernel: int, stride: int) -> None:
    stem = architecture("resnet18", image_size=size, outputs=3).get_submodule("network.conv1")
    assert isinstance(stem, torch.nn.Conv2d)
    assert (stem.kernel_size, stem.stride) == ((kernel, kernel), (stride, stride))


def test_with_large_images_it_answers_as_torchvisions_does() -> None:
    ours = fresh("resnet18", 96, 5).eval()
    theirs = resnet18(num_classes=5).eval()
    named = {name.replace("head.", "fc.").removeprefix("network."): one for name, one in ours.state_dict().items()}
    theirs.load_state_dict(named)
    images = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(ours(images)[0], theirs(images), rtol=1e-4, atol=1e-5)


def test_small_images_are_halved_three_times() -> None:
    module = architecture("resnet18", image_size=32, outputs=5)
    sides: list[int] = []
    for stage in range(1, 5):
        layer = module.get_submodule(f"network.layer{stage}")
        layer.register_forward_hook(lambda _layer, _given, made: sides.append(made.shape[-1]))
    module(torch.empty(2, 3, 32, 32, device="meta"))
    assert sides == [32, 16, 8, 4]
