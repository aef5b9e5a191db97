"""One decision as text for people, and the consoles that everything is printed on."""

import os
import sys
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from noisegate.api.decisions import DecisionAnswer

BAR_CELLS = 20
TOP_CLASSES = 3
_FILE_COLUMNS = 120

_REASONS = {
    "noise": "noise",
    "low_confidence": "too little confidence",
    "unsure": "in doubt between classes",
    "unknown": "unlike anything known",
}


def console_for(stream: TextIO | None = None) -> Console:
    """A console that prints what it is given as it stands; outside a terminal without control codes."""
    file = stream or sys.stdout
    width = None if file.isatty() else int(os.environ.get("COLUMNS") or _FILE_COLUMNS)
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False)


def decision_block(title: str, decision: DecisionAnswer) -> RenderableType:
    """One decision: what was decided, the largest probabilities as bars, the reject score and its threshold."""
    verdict = Text(f"  {_verdict(decision)}", style="bold red" if decision.rejected else "bold green")
    bars = Table.grid(padding=(0, 1))
    for label, probability in _shown_probabilities(decision):
        bars.add_row(f"  {label}", _bar(probability), f"{probability:6.1%}")
    lines = [f"  {_score_line(decision)}", *([f"  {decision.note}"] if decision.note else [])]
    return Group(Text(title, style="bold"), verdict, bars, *(Text(line) for line in lines))


def reason_words(decision: DecisionAnswer) -> str:
    """Why an image was rejected, in plain words."""
    reason = decision.reason or ""
    return _REASONS.get(reason, reason)


def _verdict(decision: DecisionAnswer) -> str:
    if not decision.rejected:
        return f"accepted as {decision.label}"
    return f"rejected: {reason_words(decision)} (nearest class {decision.known_label})"


def _shown_probabilities(decision: DecisionAnswer) -> list[tuple[str, float]]:
    ranked = sorted(decision.probabilities.items(), key=lambda entry: -entry[1])[:TOP_CLASSES]
    noise = decision.noise_probability
    return ranked if noise is None else [*ranked, ("noise", noise)]


def _bar(probability: float) -> str:
    return ("█" * round(probability * BAR_CELLS)).ljust(BAR_CELLS, "·")


def _score_line(decision: DecisionAnswer) -> str:
    if rule := decision.rule:
        return ", ".join(f"{one.score} {one.value:.3f} (threshold {one.threshold:.3f})" for one in rule)
    score = f"reject score {decision.reject_score:.3f}"
    if decision.threshold is None:
        return score
    allowed = f"{100 * decision.max_false_reject:.3g}%"
    return f"{score}, threshold {decision.threshold:.3f} (rejects at most {allowed} of the known images)"
