"""Which workers understand a spec: those whose FORMAT is at least the format of the spec.

While an installation is upgraded, old and new workers run side by side. A spec that names a member which older workers do not
know (a kind, network, recipe or noise family) has the newest format, and claims of older workers leave it alone. A release
that adds members raises FORMAT by one and enters here what the release before it understood.
"""

from collections.abc import Iterable

FORMAT = 2

# What workers of format 1 understand. History: it never changes.
_FORMAT_1 = {
    "kind": {"training", "hybrids", "curve_fitting", "decision_map", "pretrained"},
    "network": {"paper", "alexnet"},
    "recipe": {"paper"},
    "family": {"gaussian", "uniform", "solid", "gray", "mixture", "structured"},
}


def format_of(named: Iterable[tuple[str, str]]) -> int:
    """The format of a spec that names these members, each as (union, member): ("network", "paper")."""
    return 1 if all(member in _FORMAT_1.get(union, ()) for union, member in named) else FORMAT
