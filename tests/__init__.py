"""Tests; the folders mirror the tree. `check_types` is what checks shapes at every call in `make test-all`."""

from beartype import BeartypeConf, beartype

# A whole number is a float wherever a float is asked for (PEP 484), as everywhere in Python.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
