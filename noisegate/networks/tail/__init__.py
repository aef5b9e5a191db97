"""The later layers of a backbone with a new layer on top. Specs name the backbone; this is what `fine_tune` trains of it."""

from noisegate.networks.network import Network

_PREFIX = "tail of "


def name_of(backbone: str) -> str:
    """The name of what is trained of a backbone."""
    return _PREFIX + backbone


def backbone_in(name: str) -> str | None:
    """The backbone in such a name; None if the name is another network's."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def network_on(backbone: str) -> Network:
    """What is trained of a backbone, which must be one that can be cut."""
    return Network(
        name=name_of(backbone),
        summary=f"The later layers of {backbone}, and a new layer on top.",
        module="noisegate.networks.tail.module",
        recipes=("linear", "fine_tune"),
        backbone=backbone,
    )
