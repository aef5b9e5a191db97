"""Files in folders that others change meanwhile."""

import shutil
from pathlib import Path

from noisegate.disk import files_below


def test_all_files_are_found_and_no_folders(tmp_path: Path) -> None:
    wanted = {tmp_path / "a", tmp_path / "b" / "c", tmp_path / "b" / "d" / "e"}
    for path in wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    assert set(files_below(tmp_path)) == wanted


def test_a_folder_that_goes_meanwhile_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "first").touch()
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "file").touch()
    found = files_below(tmp_path)
    assert next(found) == tmp_path / "first"
    shutil.rmtree(tmp_path / "later")
    assert list(found) == []
