"""What became of each of many files: as a table for people, as CSV or as a line of JSON for programs."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from noisegate.api.answers import ProblemAnswer
from noisegate.api.decisions import DecisionAnswer
from noisegate.client.console import printable
from noisegate.client.show import decision_block, reason_words

CSV_FIELDS = (
    "file",
    "label",
    "probability",
    "accepted",
    "reason",
    "nearest_class",
    "nearest_probability",
    "reject_score",
    "threshold",
    "noise_probability",
    "model",
    "error",
)
# The least that a file's name has; and what probability, decision and the gaps take beside it and the label.
_FILE_COLUMNS = 12
_REST_COLUMNS = 35


@dataclass(frozen=True)
class Verdict:
    """A file, and either the decision on it or what was wrong with it, in words and, if the service said it, as a problem."""

    file: Path
    decision: DecisionAnswer | None = None
    error: str | None = None
    problem: ProblemAnswer | None = None


def verdict_table(verdicts: Sequence[Verdict], columns: int) -> RenderableType:
    """One row a file, and a line that counts them; in brackets the nearest class of what was rejected."""
    files = [printable(str(verdict.file)) for verdict in verdicts]
    labels = [_label(verdict.decision) for verdict in verdicts]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    room = columns - _widest(labels) - _REST_COLUMNS
    # A sentence is broken before a name is.
    table.add_column("file", overflow="fold", width=max(_FILE_COLUMNS, min(_widest(files), room)))
    table.add_column("label", overflow="fold", no_wrap=room >= _FILE_COLUMNS)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("decision", overflow="fold")
    for verdict, file, label in zip(verdicts, files, labels, strict=True):
        words, style = _in_words(verdict)
        probability = f"{_nearest(verdict.decision):.1%}" if verdict.decision else "–"
        table.add_row(file, label, probability, Text(words, style=style))
    return Group(table, Text(_counts(verdicts)))


def verdict_block(verdict: Verdict) -> RenderableType:
    """One file in detail."""
    title = printable(str(verdict.file))
    if verdict.decision is not None:
        return decision_block(title, verdict.decision)
    return Group(Text(title, style="bold"), Text(f"  error: {verdict.error}", style="yellow"))


def csv_lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """A header, then a line a file. `label` is empty where the file was rejected: no program takes a guess for an answer."""
    yield _csv_line(CSV_FIELDS)
    for verdict in verdicts:
        row = _csv_row(verdict)
        yield _csv_line([row.get(name, "") for name in CSV_FIELDS])


def json_lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """A JSON object a line: `file`, and `classification` as POST /classify answers it, or `error` and, if any, `problem`."""
    for verdict in verdicts:
        document = {
            "file": str(verdict.file),
            "classification": verdict.decision and verdict.decision.document(),
            "error": verdict.error,
            "problem": verdict.problem and verdict.problem.document(),
        }
        yield f"{json.dumps(document)}\n"


def _widest(texts: Sequence[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _label(decision: DecisionAnswer | None) -> str:
    if decision is None:
        return "–"
    return f"({decision.known_label})" if decision.rejected else decision.label


def _nearest(decision: DecisionAnswer) -> float:
    return decision.probabilities[decision.known_label]


def _in_words(verdict: Verdict) -> tuple[str, str]:
    if verdict.decision is None:
        return f"error: {verdict.error}", "yellow"
    if verdict.decision.rejected:
        return f"rejected: {reason_words(verdict.decision)}", "red"
    return "accepted", "green"


def _counts(verdicts: Sequence[Verdict]) -> str:
    errors = sum(verdict.decision is None for verdict in verdicts)
    rejected = sum(verdict.decision is not None and verdict.decision.rejected for verdict in verdicts)
    words = [f"{len(verdicts) - errors - rejected:,} accepted", f"{rejected:,} rejected"]
    words += [f"{errors:,} without an answer"] if errors else []
    brackets = "; in brackets the nearest class" if rejected else ""
    return f"{', '.join(words)}{brackets}"


def _csv_row(verdict: Verdict) -> dict[str, Any]:
    decision = verdict.decision
    if decision is None:
        return {"file": verdict.file, "error": verdict.error}
    nearest = _nearest(decision)
    return {
        "file": verdict.file,
        "label": "" if decision.rejected else decision.label,
        "probability": "" if decision.rejected else nearest,
        "accepted": "no" if decision.rejected else "yes",
        "reason": decision.reason,
        "nearest_class": decision.known_label,
        "nearest_probability": nearest,
        "reject_score": decision.reject_score,
        "threshold": decision.threshold,
        "noise_probability": decision.noise_probability,
        "model": decision.model.id,
    }


def _csv_line(values: Sequence[Any]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
