"""The commands on an installation itself, as a person types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrations.run import upgrade
from noisegate.client import cli
from noisegate.store.settings import load_settings


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with nothing in it, which the environment names."""
    use(monkeypatch, tmp_path / "data")
    (tmp_path / "data").mkdir()
    upgrade(f"sqlite:///{tmp_path / 'data' / 'noisegate.db'}")
    return tmp_path / "data"


def use(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    monkeypatch.setenv("NOISEGATE_DATA_DIR", str(data_dir))
    load_settings.cache_clear()


@pytest.fixture(autouse=True)
def _own_settings() -> None:
    load_settings.cache_clear()


def test_backup_and_restore(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "backup.tar"
    assert cli.run(["backup", str(file)]) == 0
    assert "holds the database and 0 files of Noisegate" in capsys.readouterr().out
    assert cli.run(["restore", str(file)]) == 1
    assert "not empty" in capsys.readouterr().err
    use(monkeypatch, tmp_path / "new")
    assert cli.run(["restore", str(file)]) == 0
    assert (tmp_path / "new" / "noisegate.db").exists()
    assert cli.run(["gc"]) == 0


def test_gc_says_what_would_go(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orphan = data_dir / "artefacts" / "sha256" / "ab" / ("ab" * 32)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(bytes(1234))
    os.utime(orphan, (0, 0))
    assert cli.run(["gc", "--dry-run"]) == 0
    assert "1 files without a row would go, 1,234 bytes" in capsys.readouterr().out
    assert orphan.exists()
    assert cli.run(["gc", "--older-than", "60"]) == 0
    assert "1 files without a row went, 1,234 bytes" in capsys.readouterr().out
    assert not orphan.exists()


@pytest.mark.parametrize("command", [["gc"], ["backup", "new.tar"]])
def test_a_mistyped_data_directory_is_told_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    use(monkeypatch, tmp_path / "mistyped")
    assert cli.run(command) == 1
    assert "there is no database" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_client_loads_no_database() -> None:
    code = "import sys; from noisegate.client import cli; cli.app(['--help']); print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr


def test_keys_are_told_as_json(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["keys", "create", "--owner", "me", "--days", "2", "--note", "ü", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["key"].startswith(f"ng_{made['id']}_")
    assert (made["owner"], made["scopes"], made["note"]) == ("me", ["read", "classify", "train"], "ü")
    assert cli.run(["keys", "revoke", made["id"], "--json"]) == 0
    revoked = json.loads(capsys.readouterr().out)
    assert revoked["revoked_at"] > made["created_at"]
    assert cli.run(["keys", "list", "--json"]) == 0
    (listed,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert listed == revoked
    assert listed == {name: value for name, value in made.items() if name != "key"} | {
        "revoked_at": listed["revoked_at"]
    }


def test_maintenance_is_told_as_json(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "backup.tar"
    assert cli.run(["gc", "--dry-run", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told
    assert all(one["dry_run"] and one["count"] == one["size_bytes"] == 0 for one in told)
    assert cli.run(["backup", str(file), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["file"], summary["files"]) == (str(file), 0)
