"""What `noisegate train` says before it sends anything, and when it is through."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from noisegate.api.model_answers import ModelAnswer
from noisegate.api.result_answers import Estimate, ResultRow, ResultsAnswer
from noisegate.client import Noisegate
from noisegate.client.console import printable
from noisegate.client.errors import ProblemError
from noisegate.client.walking import FoundImages, suffix_words

# Of a dataset with hundreds of classes, these many are named.
_SHOWN_CLASSES = 20


def found_block(source: Path, found: FoundImages | None, total: int) -> RenderableType:
    """What will be sent, `total` bytes: classes with their numbers of images; and what stays here. No archive is looked into."""
    shown = printable(str(source))
    if found is None or found.counts is None:
        return Text(f"{shown}: {total / 1e6:,.1f} MB; the service says what is in it.")
    classes, images = found.classes, sum(sum(of_split.values()) for of_split in found.counts.values())
    head = f"{shown}: {len(classes)} classes, {images:,} images, {total / 1e6:,.1f} MB"
    notes = [f"  Note: {printable(note)}." for note in found.notes]
    if len(classes) > _SHOWN_CLASSES:
        notes.insert(0, f"  … and {len(classes) - _SHOWN_CLASSES:,} more classes")
    if words := suffix_words(found.left_out, found.hidden):
        notes.append(f"  Left out: {words}{_why(found.left_out)}.")
    return Group(Text(head), _classes(found.counts, classes[:_SHOWN_CLASSES]), *map(Text, notes))


def _why(left_out: Mapping[str, str]) -> str:
    """Of one file, as an example."""
    if not left_out:
        return ""
    name = min(left_out)
    return f" ({printable(name)} {printable(left_out[name])})"


def _classes(counts: Mapping[str, Mapping[str, int]], classes: list[str]) -> Table:
    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False)
    table.add_column("  class", overflow="fold")
    for split in counts:
        table.add_column(split, justify="right", no_wrap=True)
    for name in classes:
        table.add_row(f"  {name}", *(f"{of_split.get(name, 0):,}" for of_split in counts.values()))
    return table


def model_lines(client: Noisegate, results: ResultsAnswer, url_option: str) -> Iterator[str]:
    """Accuracy, what is rejected, the model and how to ask it: of the model that is `default` now, else of the best by holdout."""
    models = list(client.models.list(experiment=results.experiment.id))
    model = _to_use(models, results.rows)
    if model is None:
        yield "No model was kept."
        return
    row = next(row for row in results.rows if row.cell == model.cell)
    runs = f"{row.n} executions" if row.n > 1 else "one execution"
    yield f"accuracy  {_share(row.accuracy)} of the test images, {runs}"
    yield f"rejected  {_rejected(row)}"
    cell = f" ({row.label})" if len(results.rows) > 1 else ""
    yield f"model     {model.id}{cell}"
    yield from _how_to_ask(client, model, url_option)


def _to_use(models: list[ModelAnswer], rows: list[ResultRow]) -> ModelAnswer | None:
    best = {row.best_model for row in rows}
    candidates = [model for model in models if model.id in best or "default" in model.aliases]
    return max(candidates, key=lambda one: ("default" in one.aliases, one.holdout_accuracy or 0.0), default=None)


def _rejected(row: ResultRow) -> str:
    if row.false_reject is None:
        return "only what is taken for noise: without a holdout there is no threshold"
    return f"{_share(row.false_reject)} of the test images, all of which it should know"


def _how_to_ask(client: Noisegate, model: ModelAnswer, url_option: str) -> Iterator[str]:
    if "default" in model.aliases:
        yield "          is `default`, which `noisegate classify` asks"
        which = ""
    else:
        makes_it_so = f"`noisegate alias default {model.id}{url_option}` makes it so"
        yield f"          is not `default`, which is {_default_model(client)}; {makes_it_so}"
        which = f" --model {model.id}"
    yield f"card      noisegate card {model.id}{url_option}"
    yield f"classify  noisegate classify{which}{url_option} IMAGE …"


def _default_model(client: Noisegate) -> str:
    try:
        return client.models.get("default").id
    except ProblemError as problem:
        if problem.code != "not-found":
            raise
        return "no model"


def _share(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    error = estimate.standard_error
    return f"{estimate.mean:.2%}" + ("" if error is None else f" ± {100 * error:.2f}")
