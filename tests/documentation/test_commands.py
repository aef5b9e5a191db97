"""Every shell command of README, docs and deploy: run as it stands there, or listed with a reason why not."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from noisegate.local import running as local
from tests.client.images import fill, png
from tests.documentation.commands import NOT_RUN, Command, commands_of, reason_not_to_run, split
from tests.documentation.pages import all_pages

READ = [page for page in all_pages() if page.name.startswith(("README.md", "docs/", "deploy/"))]
PAGES = {page.name: commands for page in READ if (commands := commands_of(page))}
COMMANDS = [command for commands in PAGES.values() for command in commands]
RUN = {name: [one for one in commands if reason_not_to_run(one) is None] for name, commands in PAGES.items()}
# Without it curl ends well whatever the service answers.
QUIET_CURL = re.compile(r"\bcurl (?!-sf|--fail)")
ADDRESS = re.compile(r"\b(localhost|127\.0\.0\.1):8000\b")


def test_blocks_are_split_into_commands() -> None:
    block = "# a\necho 'b # c\nd'  # e\ncat > f <<'G'\n# h\nG\n\ni \\\n  j\nk &&\n  l\nm | # n\n"
    assert list(split(block + "o\n")) == [
        "echo 'b # c\nd'  # e",
        "cat > f <<'G'\n# h\nG",
        "i \\\n  j",
        "k &&\n  l",
        "m | # n\no",
    ]


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_every_reason_is_that_of_a_command(pattern: str) -> None:
    assert any(re.search(pattern, command.text) for command in COMMANDS)


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_one(name: str) -> None:
    script = "\n".join(command.text for command in PAGES[name])
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISEGATE_DATA_PROCESSES", "1")
        with local.running(tmp_path_factory.mktemp("up"), 0, workers=1) as running:
            patch.undo()
            yield running


def photographs(folder: Path, of_each: int, first: int) -> Path:
    return fill(
        folder,
        {
            f"{name}/{number}.png": png(first + 100 * place + number, low, high, size=64)
            for place, (name, low, high) in enumerate((("robin", 20, 100), ("wren", 150, 240)))
            for number in range(of_each)
        },
    )


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with what pages speak of: photographs of two classes, new ones, and the commands where `make` puts them."""
    photographs(tmp_path / "photos", 40, first=0)
    photographs(tmp_path / "new-photos", 10, first=300)
    fill(tmp_path / "new", {f"{number}.jpg": png(1000 + number, 20, 240, size=64) for number in range(3)})
    (tmp_path / "bird.jpg").write_bytes((tmp_path / "new" / "1.jpg").read_bytes())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return tmp_path


@pytest.fixture(scope="module")
def begun(up: local.Running, tmp_path_factory: pytest.TempPathFactory) -> local.Running:
    """An installation that has a model, and a dataset of the name that pages use for yours."""
    photos = photographs(tmp_path_factory.mktemp("mine") / "photos", 40, first=0)
    environment = {**os.environ, "NOISEGATE_URL": up.url}
    for words in (f"upload {photos} --name mine", "run recommended --scale smoke --watch"):
        subprocess.run([sys.executable, "-m", "noisegate.client.cli", *words.split()], env=environment, check=True)
    return up


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name, commands in RUN.items() if commands])
def test_commands_do_what_the_page_says(name: str, begun: local.Running, desk: Path) -> None:
    failed = [f"{command.text}\n{said}" for command in RUN[name] if (said := _run(command, begun, desk)) is not None]
    assert failed == []


def _run(command: Command, up: local.Running, desk: Path) -> str | None:
    """What it said, if it did not end well. $id is the newest experiment that has succeeded, $model the newest model."""
    environment = {
        **os.environ,
        "NOISEGATE_URL": up.url,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "id": _newest(up, "experiments"),
        "model": _newest(up, "models"),
    }
    text = QUIET_CURL.sub("curl --fail-with-body ", ADDRESS.sub(up.url.removeprefix("http://"), command.text))
    bash = ["timeout", "300", "bash", "-euo", "pipefail", "-c", text]
    ended = subprocess.run(bash, cwd=desk, env=environment, capture_output=True, text=True, check=False)
    return None if ended.returncode == 0 else ended.stdout[-2000:] + ended.stderr[-2000:]


def _newest(up: local.Running, what: str) -> str:
    items = httpx2.get(f"{up.url}/{what}").raise_for_status().json()["items"]
    return str(next(item["id"] for item in items if item.get("state", "succeeded") == "succeeded"))
