"""torchvision's ResNet-18, with the stem that is usual for small images."""

from noisegate.networks.network import Network

NETWORK = Network(
    name="resnet18",
    summary="torchvision's ResNet-18 without pretrained weights; up to 64 pixels its first convolution is 3×3 without pooling.",
    module="noisegate.networks.resnet18.module",
    least_batch_size=2,
)
