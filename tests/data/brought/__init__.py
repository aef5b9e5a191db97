"""Uploads as people and tools make them, each with what must become of it. tests/data/test_bring.py reads them all."""
