"""A linear layer on features that a backbone has computed. Specs name the backbone; this is what is trained on top of it."""

from noisegate.networks.network import Network

NETWORK = Network(
    name="linear",
    summary="A linear layer on the features of a backbone.",
    module="noisegate.networks.linear.module",
    recipes=("linear", "fine_tune"),
)
