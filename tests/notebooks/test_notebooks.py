"""The notebooks of docs/, executed from the first cell to the last beside a real service and worker."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from noisegate.local import running as local
from tests.client.images import fill, png

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
# Pages are read on a forge: pictures small, tables short.
MOST_BYTES = 150_000

pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Running]:
    with local.running(tmp_path_factory.mktemp("up"), 0, workers=1, isolated=True) as running:
        yield running


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_to_its_end(up: local.Running, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = {f"{kind}/{n}.png": png(n, low, low + 90) for kind, low in (("cat", 0), ("dog", 160)) for n in range(40)}
    monkeypatch.setenv("PHOTOS", str(fill(tmp_path / "photos", photos)))
    monkeypatch.setenv("NEW_PHOTOS", str(fill(tmp_path / "new", {"a.png": png(99, 0, 90), "b.png": b"no image"})))
    monkeypatch.setenv("NOISEGATE_URL", up.url)
    monkeypatch.setenv("SCALE", "smoke")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    book = nbformat.read(FOLDER / name, as_version=4)
    NotebookClient(book, timeout=900, kernel_name="python3").execute(cwd=str(tmp_path))
    assert all(cell.execution_count for cell in book.cells if cell.cell_type == "code")


def test_there_are_two_and_what_they_keep_is_small() -> None:
    assert NOTEBOOKS == ["figure-11.ipynb", "own-photographs.ipynb"]
    assert all((FOLDER / name).stat().st_size < MOST_BYTES for name in NOTEBOOKS)
    # The guide takes no inline styles, and pandas writes them.
    assert not any("text/html" in (FOLDER / name).read_text(encoding="utf-8") for name in NOTEBOOKS)
