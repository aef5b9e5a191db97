"""Which workers understand what is asked for: those whose FORMAT is at least the format of a spec, an upload, an artefact.

While an installation is upgraded, old and new workers run side by side. A spec that names a member which older workers do not
know (a kind, network, recipe or noise family) has the newest format, and claims of older workers leave it alone. So has every
upload, as nobody knows what is in it before it is read, and a derived artefact of an unknown kind or with an unknown choice. A
release that adds members or reads more uploads raises FORMAT by one and enters here what the release before it understood.
"""

from collections.abc import Iterable

FORMAT = 2

# What workers of format 1 understand. History: it never changes.
_FORMAT_1 = {
    "kind": {"training", "hybrids", "curve_fitting", "decision_map", "pretrained"},
    "network": {"paper", "alexnet"},
    "recipe": {"paper"},
    "family": {"gaussian", "uniform", "solid", "gray", "mixture", "structured"},
    "source": {"digits", "cifar10"},
}


def format_of(named: Iterable[tuple[str, str]]) -> int:
    """The format of what names these members, each as (union, member): ("network", "paper")."""
    return 1 if all(member in _FORMAT_1.get(union, ()) for union, member in named) else FORMAT
