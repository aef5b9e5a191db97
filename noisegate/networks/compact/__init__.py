"""A small modern network for images of 32 to 96 pixels, without pretrained weights."""

from noisegate.networks.network import Network

NETWORK = Network(
    name="compact",
    summary="A whitening convolution and six 3×3 convolutions with batch norm: for strong results on a CPU.",
    module="noisegate.networks.compact.module",
    least_batch_size=2,
    least_image_size=16,
)
