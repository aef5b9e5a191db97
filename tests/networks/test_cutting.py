"""Backbones in two parts: together they compute what the whole does, and depths are counted from the head."""

import copy
import math

import pytest
import timm
import torch
from torch import nn

from noisegate.networks.backbones import CUT_FAMILIES, EMBEDDED, backbone_of, catalogue
from noisegate.networks.backbones.cutting import depths, early_part, late_part, middle_part, place_of_cut, stages_beside
from noisegate.networks.building import architecture
from tests.learning.fine_tuning import made_up

# One of each family, as small as there is.
SMALL = ("test_efficientnet", "test_resnet", "test_convnext", "regnetx_002")


@pytest.mark.parametrize("name", SMALL)
def test_the_two_parts_compute_what_the_whole_does(name: str) -> None:
    network, cut = made_up(name), backbone_of(name).cut
    assert cut is not None
    before = copy.deepcopy(network.state_dict())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        activations = early_part(network, cut.upto)(images)
        features = late_part(network, cut.upto)(activations)
        torch.testing.assert_close(features, network(images))
    assert activations[0].numel() == cut.values(64)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", SMALL)
def test_each_layer_is_in_one_part(name: str) -> None:
    network, upto = made_up(name), place_of_cut(made_up(name))
    assert upto is not None
    cut = backbone_of(name).cut
    assert cut is not None
    assert upto == cut.upto
    early, late = (part(network, upto).state_dict().keys() for part in (early_part, late_part))
    assert not early & late
    assert early | late == network.state_dict().keys()


@pytest.mark.parametrize("name", SMALL)
def test_three_parts_compute_what_the_whole_does(name: str) -> None:
    network = made_up(name)
    first, second = stages_beside(network)
    shown = images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    parts = early_part(network, first), middle_part(network, first, second), late_part(network, second)
    with torch.inference_mode():
        for part in parts:
            shown = part(shown)
        torch.testing.assert_close(shown, network(images))
    of_parts = [set(part.state_dict()) for part in parts]
    assert sum(map(len, of_parts)) == len(set.union(*of_parts)) == len(network.state_dict())


def test_the_catalogue_says_which_can_be_cut() -> None:
    assert {type(made_up(name)).__name__ for name in SMALL} == set(CUT_FAMILIES)
    assert backbone_of("vit_base_patch16_224").cut is None
    # Its blurring filters are in no file of weights.
    assert backbone_of("resnetblur50").cut is None
    assert sum(one.cut is not None for one in catalogue().values()) == 434
    assert place_of_cut(timm.create_model("test_vit", num_classes=0)) is None


def test_depths_count_blocks_from_the_head() -> None:
    late = late_part(made_up("test_resnet"), "layer2")
    found = depths(name for name, _ in late.named_parameters())
    blocks = {".".join(name.split(".")[:2]): depth for name, depth in found.items()}
    assert blocks == {"layer3.0": 2, "layer4.0": 1}


def test_depths_of_the_embedded_backbone() -> None:
    tail = architecture("tail of tf_efficientnet_lite0.in1k", image_size=14, outputs=3)
    found = {name: tail.depth_of(name) for name, _ in tail.named_parameters()}
    assert (found["head.weight"], found["head.bias"]) == (0, 0)
    assert (found["layers.conv_head.weight"], found["layers.bn2.bias"]) == (1, 1)
    # Blocks of three, four and one are left.
    blocks = {".".join(name.split(".")[1:4]): depth for name, depth in found.items() if ".blocks." in name}
    assert list(blocks.values()) == [9, 8, 7, 6, 5, 4, 3, 2]


@pytest.mark.parametrize("name", [EMBEDDED, "resnet18.a1_in1k", "convnext_atto.d2_in1k"])
def test_the_catalogue_says_what_an_image_costs(name: str) -> None:
    """Counted by hand: each number that a layer gives takes one multiplication for each number it is made of."""
    backbone, counted = backbone_of(name), 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal counted
        if isinstance(layer, nn.Conv2d):
            counted += output.numel() * (layer.in_channels // layer.groups) * math.prod(layer.kernel_size)
        elif isinstance(layer, nn.Linear):
            counted += output.numel() * layer.in_features

    with torch.device("meta"):
        network = timm.create_model(name, pretrained=False, num_classes=0).eval()
        for layer in network.modules():
            layer.register_forward_hook(count)
        network(torch.zeros(1, 3, backbone.image_size, backbone.image_size))
    assert backbone.macs == counted
    assert backbone.parameters == sum(weight.numel() for weight in network.parameters())
