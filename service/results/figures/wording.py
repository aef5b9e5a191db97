"""What stands in words on a figure: whose results they are, and from what sample."""

import textwrap
from collections.abc import Iterable

from noisegate.presets import catalogue as presets
from service.results.schemas import Results

NOTHING_YET = "no execution has finished yet"


def subtitle(results: Results) -> str:
    """Whose results these are, from what sample, and how far the experiment has got."""
    done = sum(row.n for row in results.rows)
    failed = sum(row.failed for row in results.rows)
    state = f"{results.experiment.state.value}: {done} of {sum(row.executions for row in results.rows)} executions"
    posted_as = f"{presets.get(results.preset.name).title} ({results.preset.scale})" if results.preset else ""
    name = results.experiment.name or results.experiment.id
    parts = [
        # A preset's own name would only repeat the title.
        f"scale {results.preset.scale}" if results.preset and name == posted_as else shorten(name, 90),
        f"dataset {results.dataset.name}" if results.dataset else "",
        f"{sample_size(row.n for row in results.rows)} a cell" if done else "",
        state + (f", {failed} failed" if failed else ""),
        "" if done else NOTHING_YET,
    ]
    return " · ".join(part for part in parts if part)


def sample_size(sizes: Iterable[int | None]) -> str:
    """`n = 3`, or the range if cells differ."""
    known = sorted({size for size in sizes if size is not None})
    if not known:
        return "n unknown"
    return f"n = {known[0]}" if len(known) == 1 else f"n = {known[0]}–{known[-1]}"


def shorten(text: str, width: int, lines: int = 1) -> str:
    """The text in at most `lines` lines."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))
