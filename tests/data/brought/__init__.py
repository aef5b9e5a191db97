"""Uploads as people and tools make them, each with what must become of it. tests/data/test_bring.py reads them all."""

import pytest

pytest.register_assert_rewrite("tests.data.brought.rows")
