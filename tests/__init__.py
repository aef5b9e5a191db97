"""Tests; the folders mirror the tree. `check_types` checks noisegate.learning at every call while they run: see pyproject."""

from beartype import BeartypeConf, beartype

# A whole number is a float wherever a float is asked for (PEP 484), as everywhere in Python.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
