"""The architectures that can be trained, each in a room of its own: `NAME/__init__.py` says what a spec needs to know,
`NAME/module.py` builds it. This package and the rooms' own `__init__` import no torch; `building` and the modules do.
"""

from noisegate.networks import compact, linear, paper, resnet18, tail
from noisegate.networks.network import Network

NETWORKS: dict[str, Network] = {one.name: one for one in (paper.NETWORK, compact.NETWORK, resnet18.NETWORK)}


def network_of(name: str) -> Network:
    """What is trained under this name: a network that specs name, or what is trained of a backbone, or on one."""
    if (backbone := tail.backbone_in(name)) is not None:
        return tail.network_on(backbone)
    return linear.NETWORK if name == linear.NETWORK.name else NETWORKS[name]
