"""`noisegate classify`: one image in detail, or many files as a table, CSV or JSON."""

import contextlib
import glob
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from noisegate.api.answers import ProblemAnswer
from noisegate.client import Noisegate
from noisegate.client.answers import BatchLine
from noisegate.client.console import printable
from noisegate.client.errors import ClientError, ProblemError, UnusableFile
from noisegate.client.files import why_not
from noisegate.client.flows import DEFAULT_URL
from noisegate.client.options import Url
from noisegate.client.progress import ProgressDisplay
from noisegate.client.show import console_for, decision_block
from noisegate.client.verdicts import Verdict, csv_lines, json_lines, verdict_block, verdict_table
from noisegate.client.walking import suffix_words, walk
from noisegate.image_kinds import IMAGE_KINDS

# What one request holds: enough for the service to fill its batches, and little enough that the first answers come soon.
BATCH_FILES = 64
BATCH_BYTES = 16 * 2**20

# Too many, or too much, for one request: halves may pass.
_TOO_LARGE = (400, 413)

Send = Callable[[Sequence[Path]], list[BatchLine]]


def classify(
    *images: str,
    model: str = "default",
    max_false_reject: float | None = None,
    top_k: int | None = None,
    rule: str | None = None,
    csv: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    output: Path | None = None,
    url: Url = DEFAULT_URL,
) -> int:
    """Classify images, or reject them: one in detail, several as a table. A file that is none does not end the rest.

    Exits with 1 if a file could not be read or was refused, and with 0 otherwise, whatever was decided.

    Args:
        images: PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF or JPEG 2000 files; folders, of which every such file is taken; or
            patterns such as 'new/*.jpg'.
        model: Id or alias.
        max_false_reject: Largest share of known images to be rejected wrongly.
        rule: Scores that decide in place of what is set on the model: one, or two as 'knn,reject_score'; or 'default'.
        top_k: Maximum number of classes to name, the most probable first; shows each image in detail.
        csv: Print a line of CSV for each file.
        json: Print a JSON object a line for each file, with all that the service says.
        output: Write the CSV or JSON to this file.
    """
    _check(images, top_k, csv, json, output)
    console = console_for()
    with Noisegate(url) as client:
        if not (csv or json) and _is_one_file(images):
            decision = client.models.classify(
                images[0], model=model, max_false_reject=max_false_reject, top_k=top_k, rule=rule
            )
            console.print(decision_block(printable(images[0]), decision))
            return 0
        send = partial(
            client.models.classify_many, model=model, max_false_reject=max_false_reject, top_k=top_k, rule=rule
        )
        verdicts = _Counted(send, list(_paths(images)))
        if csv or json:
            _write(csv_lines(verdicts) if csv else json_lines(verdicts), output)
        elif top_k is not None:
            for verdict in verdicts:
                console.print(verdict_block(verdict))
        else:
            _show(console, verdicts)
    return 1 if verdicts.failed else 0


def _check(images: Sequence[str], top_k: int | None, csv: bool, json: bool, output: Path | None) -> None:
    if not images:
        raise ClientError("Name files, folders or patterns to classify.")
    if csv and json:
        raise ClientError("Either --csv or --json.")
    if csv and top_k is not None:
        raise ClientError("--top-k: a line of CSV has one class. Ask for --json.")
    if output and not (csv or json):
        raise ClientError("--output: say whether as --csv or as --json.")


class _Counted:
    """The verdicts on all files, in their order, of which few are asked for at once; `failed` counts those without a decision."""

    def __init__(self, send: Send, paths: Sequence[tuple[Path, UnusableFile | None]]) -> None:
        self.failed = 0
        self._send = send
        self._paths = paths

    def __iter__(self) -> Iterator[Verdict]:
        with _progress(len(self._paths)) as told:
            for done, verdict in enumerate(_verdicts(self._send, self._paths), start=1):
                self.failed += verdict.decision is None
                told(done)
                yield verdict


def _verdicts(send: Send, paths: Iterable[tuple[Path, UnusableFile | None]]) -> Iterator[Verdict]:
    waiting: list[Path] = []
    held = 0
    for path, problem in paths:
        size = 0 if problem else _size(path)
        if waiting and (problem or len(waiting) == BATCH_FILES or held + size > BATCH_BYTES):
            yield from _answered(send, waiting)
            waiting, held = [], 0
        if problem:
            yield _failed(path, problem)
        else:
            waiting.append(path)
            held += size
    yield from _answered(send, waiting)


def _answered(send: Send, paths: Sequence[Path]) -> Iterator[Verdict]:
    """By one request; by two for the halves, if the service cannot take it as a whole or a file in it cannot be read."""
    if not paths:
        return
    try:
        lines = send(paths)
    except (ProblemError, UnusableFile) as error:
        if isinstance(error, ProblemError) and error.status not in _TOO_LARGE:
            raise
        if len(paths) == 1:
            yield _failed(paths[0], error)
            return
        half = len(paths) // 2
        yield from _answered(send, paths[:half])
        yield from _answered(send, paths[half:])
        return
    for path, line in zip(paths, lines, strict=True):
        yield Verdict(path, line.classification, _words(line.problem), line.problem)


def _failed(path: Path, error: ClientError) -> Verdict:
    words = error.detail if isinstance(error, ProblemError) else str(error).removeprefix(f"{path} ")
    return Verdict(path, error=words)


def _words(problem: ProblemAnswer | None) -> str | None:
    return None if problem is None else problem.detail


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it is told when it is opened


def _is_one_file(images: Sequence[str]) -> bool:
    (image, *more) = images
    return not more and not Path(image).is_dir() and (Path(image).exists() or not glob.has_magic(image))


def _paths(images: Iterable[str]) -> Iterator[tuple[Path, UnusableFile | None]]:
    """Every file that is meant, in order; with what is wrong where nothing can be sent."""
    for image in images:
        if Path(image).exists() or not glob.has_magic(image):
            yield from _below(Path(image))
        elif matching := sorted(glob.glob(image, recursive=True)):  # noqa: PTH207 (a pattern may be absolute)
            yield from chain.from_iterable(_below(Path(match)) for match in matching)
        else:
            yield Path(image), UnusableFile("no file is called so")


def _below(path: Path) -> Iterator[tuple[Path, UnusableFile | None]]:
    if not path.is_dir():
        yield path, None
        return
    walked = walk(path)
    images, others = walked.images_and_others()
    if words := suffix_words(others, walked.hidden):
        print(f"{path}: {words} left out; only {IMAGE_KINDS} files are taken.", file=sys.stderr)
    if not images and not walked.problems:
        yield path, UnusableFile(f"holds no {IMAGE_KINDS} files")
    yield from ((file.path, None) for file in images)
    yield from walked.problems


def _show(console: Console, verdicts: Iterable[Verdict]) -> None:
    shown: list[Verdict] = []
    try:
        for verdict in verdicts:
            shown.append(verdict)  # noqa: PERF402 (what is there is shown, whatever happens then)
    finally:
        if shown:
            console.print(verdict_table(shown, console.width))


def _write(lines: Iterable[str], output: Path | None) -> None:
    if output is None:
        sys.stdout.writelines(lines)
        return
    try:
        # A name that is not UTF-8 on this disk is written as its escape.
        with output.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.writelines(lines)
    except OSError as error:
        raise ClientError(f"{output} cannot be written: {why_not(error)}") from error


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar for people who wait; nothing in a file."""
    if not sys.stderr.isatty() or total <= BATCH_FILES:
        yield lambda _: None
        return
    with ProgressDisplay(console_for(sys.stderr), "classifying") as progress:
        yield lambda done: progress.show(done / total, f"{done:,} of {total:,}")
