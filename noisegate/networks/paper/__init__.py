"""The network of the paper."""

from noisegate.networks.network import Network

NETWORK = Network(
    name="paper",
    summary="Three 5×5 convolutions and two fully connected layers, as in the paper; the mean training image is subtracted.",
    module="noisegate.networks.paper.module",
    takes_first_layer_std=True,
)
