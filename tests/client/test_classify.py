"""`noisegate classify` for many files, against a real service with a model that calls everything a dog."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from noisegate.client import cli
from noisegate.client.console import printable
from noisegate.client.show import console_for
from noisegate.client.verdicts import Verdict, verdict_table
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from tests.client.images import fill, png
from tests.client.peer import Peer, Reply, json_reply, peer, problem_reply
from tests.client.samples import decision
from tests.service.conftest import run_server, settings_in
from tests.service.factories import ready_dataset, served_model

Serve = Callable[..., str]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns enough for the paths of temporary folders."""
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def serve(service_settings: Settings, service: str) -> Serve:
    """Enters a model with the given logits, which is `default` then; gives its id."""

    def enter(*logits: float) -> str:
        return enter_model(service_settings, *logits)

    return enter


def enter_model(settings: Settings, *logits: float) -> str:
    sessions, artefacts = open_sessions(settings), Artefacts(settings.artefact_root)
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    id = served_model(sessions, artefacts, logits=logits)
    sessions.close()
    return id


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    with peer() as running:
        monkeypatch.setenv("NOISEGATE_URL", running.url)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images and a text that is called an image."""
    return fill(tmp_path / "new", {"a.png": png(1), "b.png": png(2), "c.jpg": b"no image", "notes.txt": b""})


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What the command printed, without what the service logs in this process."""
    return "".join(line for line in capsys.readouterr().out.splitlines(keepends=True) if not line.startswith('{"'))


def rows(text: str) -> list[list[str]]:
    """The rows of a printed table, without its heading."""
    lines = [line.strip() for line in text.splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith("─"))
    return [re.split(r"\s{2,}", line) for line in lines[start + 1 : lines.index("", start)]]


def test_a_table_of_a_folder(serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(0, 5)
    assert cli.run(["classify", str(folder), str(folder / "gone.png")]) == 1
    captured = capsys.readouterr()
    assert [row[1:] for row in rows(captured.out)] == [
        ["dog", "99.3%", "accepted"],
        ["dog", "99.3%", "accepted"],
        ["–", "–", "error: the image is text"],
        ["–", "–", "error: cannot be read: No such file or directory"],
    ]
    assert captured.out.endswith("\n2 accepted, 0 rejected, 2 without an answer\n")
    assert (
        captured.err
        == f"{folder}: 1 .txt left out; only PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF or JPEG 2000 files are taken.\n"
    )


def test_all_answered_is_success_whatever_was_decided(
    serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(0, 5, 9)
    assert cli.run(["classify", str(folder / "a.png"), str(folder / "b.png")]) == 0
    out = capsys.readouterr().out
    assert [row[1:] for row in rows(out)] == [["(dog)", "1.8%", "rejected: noise"]] * 2
    assert out.endswith("\n0 accepted, 2 rejected; in brackets the nearest class\n")


def test_patterns_are_expanded_where_no_shell_has(
    serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(0, 5)
    monkeypatch.chdir(folder.parent)
    fill(folder, {"[1].png": png(3), "below/d.png": png(4)})
    assert cli.run(["classify", "new/*.png", "new/[1].png", "new/**/d.png", "old/*.png"]) == 1
    table = rows(capsys.readouterr().out)
    assert [row[0] for row in table] == [
        "new/[1].png",
        "new/a.png",
        "new/b.png",
        "new/[1].png",
        "new/below/d.png",
        "old/*.png",
    ]
    assert table[-1][-1] == "error: no file is called so"


def test_csv_leaves_the_label_empty_where_it_rejects(
    serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = serve(0, 5, 9)
    assert cli.run(["classify", str(folder), "--csv"]) == 1
    first, _, last = csv.DictReader(io.StringIO(printed(capsys)))
    assert (first["file"], first["label"], first["accepted"], first["reason"]) == (
        str(folder / "a.png"),
        "",
        "no",
        "noise",
    )
    assert (first["nearest_class"], first["model"]) == ("dog", model)
    assert float(first["noise_probability"]) == pytest.approx(0.9819, abs=1e-4)
    assert (last["accepted"], last["error"]) == ("", "the image is text")


def test_json_is_a_line_a_file(serve: Serve, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(0, 5)
    answers = tmp_path / "answers.ndjson"
    assert cli.run(["classify", str(folder), "--json", "--top-k", "1", "--output", str(answers)]) == 1
    assert printed(capsys) == ""
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [line["file"] for line in lines] == [str(folder / name) for name in ("a.png", "b.png", "c.jpg")]
    assert list(lines[0]["classification"]["probabilities"]) == ["dog"]
    assert lines[0]["classification"]["label"] == "dog"
    assert (lines[2]["classification"], lines[2]["problem"]["code"]) == (None, "invalid-image")


def test_details_of_each(serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(0, 5)
    assert cli.run(["classify", str(folder), "--top-k", "1"]) == 1
    out = capsys.readouterr().out
    assert out.count("accepted as dog") == 2
    assert out.endswith("c.jpg\n  error: the image is text\n")
    assert " cat " not in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--csv", "--json"], "Either --csv or --json."),
        (["--csv", "--top-k", "2"], "--top-k: a line of CSV has one class"),
        (["--output", "answers"], "--output: say whether"),
        (["--csv", "--output", "/gone/answers"], "/gone/answers cannot be written: No such file"),
    ],
)
def test_options_that_go_together_with_nothing(
    server: Peer, folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert cli.run(["classify", str(folder), *options]) == 1
    assert words in capsys.readouterr().err
    assert server.requests == []


def test_nothing_to_classify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["classify"]) == 1
    assert capsys.readouterr().err == "Name files, folders or patterns to classify.\n"
    assert cli.run(["classify", str(fill(tmp_path / "empty", {".hidden": b""}))]) == 1
    assert (
        rows(capsys.readouterr().out)[0][-1]
        == "error: holds no PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF or JPEG 2000 files"
    )


def test_a_model_that_is_not_there_ends_it(serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(0, 5)
    for files in ([str(folder)], [str(folder / "a.png")]):
        assert cli.run(["classify", *files, "--model", "best"]) == 1
        captured = capsys.readouterr()
        assert "there is no model or alias 'best'" in captured.err
        assert "accepted" not in captured.out


def test_a_service_that_takes_less_at_once(
    tmp_path: Path, migrated_database: Path, broker_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too many files, then too many bytes, for one request; and one file that is too large by itself."""
    settings = settings_in(tmp_path / "small", migrated_database, broker_url)
    settings = settings.model_copy(update={"max_batch_images": 3, "max_batch_bytes": 20_000, "max_image_bytes": 15_000})
    images = {f"{number}.png": png(number, size=16 + number) for number in range(10)}
    folder = fill(tmp_path / "new", images | {"large.png": bytes(50_000), "over.png": bytes(16_000)})
    assert sum(map(len, images.values())) > 10_000
    with run_server(settings) as (host, port):
        enter_model(settings, 0, 5)
        assert cli.run(["classify", str(folder), "--url", f"http://{host}:{port}"]) == 1
    table = rows(capsys.readouterr().out)
    assert [row[-1] for row in table[:10]] == ["accepted"] * 10
    assert [(row[-1].startswith("error: ") and "15,000" in row[-1]) or "20,000" in row[-1] for row in table[10:]] == [
        True
    ] * 2


def answer(request_body: bytes) -> Reply:
    count = request_body.count(b'filename="')
    lines = [
        {"index": number, "name": None, "classification": decision().document(), "problem": None}
        for number in range(count)
    ]
    return Reply(200, "\n".join(map(json.dumps, lines)).encode(), {"Content-Type": "application/x-ndjson"})


def test_hundreds_of_files_are_a_few_requests(
    server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path, {f"{number:03}.png": b"1" for number in range(150)})
    sizes: list[int] = []

    def answered(request: object) -> Reply:
        body = request.body  # type: ignore[attr-defined]
        sizes.append(body.count(b'filename="'))
        return answer(body)

    monkeypatch.setattr(server, "answer", answered)
    assert cli.run(["classify", str(folder)]) == 0
    assert sizes == [64, 64, 22]
    assert len(rows(capsys.readouterr().out)) == 150


def test_a_service_without_room_is_asked_again(server: Peer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    busy = Reply(429, b"{}", {"Content-Type": "application/problem+json", "Retry-After": "0"})
    server.replies("POST", "/classify/batch", busy, busy, answer(b'filename="' * 2))
    assert cli.run(["classify", str(folder / "a.png"), str(folder / "b.png")]) == 0
    assert len(server.requests) == 3
    assert len({request.body.count(b"PNG") for request in server.requests}) == 1


def test_what_is_known_is_shown_when_the_service_goes_away(
    server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fill(tmp_path, {f"{number:03}.png": b"1" for number in range(70)})
    server.replies("POST", "/classify/batch", answer(b'filename="' * 64), problem_reply(503, "unavailable"))
    assert cli.run(["classify", str(folder)]) == 1
    captured = capsys.readouterr()
    assert len(rows(captured.out)) == 64
    assert captured.err == "Title (503 unavailable)\n  Detail\n"


def test_memory_does_not_grow_with_the_files(serve: Serve, tmp_path: Path) -> None:
    """A file of 300 MB, which is refused by its size, and 60 of 2 MB in batches; measured in a process of its own."""
    serve(0, 5)
    for name, size in {"large.png": 300, **{f"{number}.png": 2 for number in range(60)}}.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(size * 2**20)
    program = (
        "import sys, tracemalloc; from noisegate.client.cli import run\n"
        "tracemalloc.start(); run(sys.argv[1:]); print(tracemalloc.get_traced_memory()[1])"
    )
    large, *small = [str(tmp_path / name) for name in ("large.png", *(f"{number}.png" for number in range(60)))]
    for files, last_words in (
        ([large, *small], "0 accepted, 0 rejected, 61 without an answer"),
        ([large], "the body is over this server's limit"),
    ):
        command = [sys.executable, "-c", program, "classify", *files]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert last_words in done.stdout + done.stderr
        assert int(done.stdout.splitlines()[-1]) < 8 * 2**20


def test_a_console_that_is_not_utf_8(server: Peer, tmp_path: Path) -> None:
    """Bars, dashes and labels are written as what is similar, or as their escapes; and so is a file name that is no text."""
    name = os.fsencode(tmp_path) + b"/k\xff\n.png"
    Path(os.fsdecode(name)).write_bytes(b"1")
    kaese = decision(label="Käse", known_label="Käse", probabilities={"Käse": 0.9}, noise_probability=None)
    server.replies("POST", "/classify", json_reply(kaese))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "noisegate.client.cli", "classify", os.fsdecode(name)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"k\\udcff\\n.png" in done.stdout
    assert rb"accepted as K\xe4se" in done.stdout
    assert b"#" * 18 + b".." in done.stdout


def test_names_are_printed_without_what_steers_a_terminal() -> None:
    assert printable("a\x1b[2J\nü\N{GRINNING FACE}") == "a\\x1b[2J\\nü\N{GRINNING FACE}"


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("label", ["golden retriever", "a label of some thirty letters"])
def test_labels_never_break_where_there_is_room(columns: int, label: str) -> None:
    long = Path("photographs of the last summer/2024-07-13/IMG_20240713_123456_retouched.jpeg")
    rejected = decision(known_label=label, probabilities={label: 0.4}, rejected=True, reason="low_confidence")
    shown = [Verdict(long, rejected), Verdict(Path("a.png"), error="the image is text")]
    console = console_for(io.StringIO())
    console.width = columns
    with console.capture() as capture:
        console.print(verdict_table(shown, columns))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= columns
    assert "40.0%" in text
    if len(label) + 52 <= columns:
        assert f"({label})" in text
    # Folded or not, no letter of a file's name is lost.
    file_column = "".join(line.strip().split("  ")[0] for line in text.splitlines()[3:])
    assert "".join(str(long).split()) in "".join(file_column.split())
