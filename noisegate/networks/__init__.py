"""The architectures that can be trained, each in a room of its own: `NAME/__init__.py` says what a spec needs to know,
`NAME/module.py` builds it. This package and the rooms' own `__init__` import no torch; `building` and the modules do.
"""

from noisegate.networks import compact, paper, resnet18
from noisegate.networks.network import Network

NETWORKS: dict[str, Network] = {one.name: one for one in (paper.NETWORK, compact.NETWORK, resnet18.NETWORK)}
