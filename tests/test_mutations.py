"""Every mutation of `make mutations` still has a place to go: running them all takes ten minutes."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_each_has_its_text_once_and_tests_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["mutations"])
    mutations = runpy.run_path(str(ROOT / "scripts" / "mutations.py"))["MUTATIONS"]
    assert len(mutations) >= 10
    found = {one.name: (ROOT / one.file).read_text().count(one.old) for one in mutations}
    assert found == dict.fromkeys(found, 1)
    assert [test for one in mutations for test in one.tests if not (ROOT / test).exists()] == []
