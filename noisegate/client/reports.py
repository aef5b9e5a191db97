"""What was found in an upload, as a person reads it."""

from collections.abc import Iterator
from http import HTTPStatus

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from noisegate.api.dataset_answers import AddedAnswer, DatasetAnswer, LeftOutAnswer, ReportAnswer, SpreadAnswer
from noisegate.client import Noisegate
from noisegate.client.console import printable
from noisegate.client.errors import ProblemError
from noisegate.client.options import in_options

_SHOWN_CLASSES = 30
_SEARCHES = {
    "running": "they are still looked for; `noisegate report` shows what is found",
    "unfinished": "they were not looked for to the end; `noisegate upload --dry-run` of the same images does that",
}


def report_block(report: ReportAnswer) -> RenderableType:
    """All of it; of many classes the first."""
    train, test, classes = report.train_count, report.test_count, report.classes
    head = f"{report.layout}: {len(classes):,} classes, {train:,} images to train on, {test:,} to test"
    more = len(classes) - _SHOWN_CLASSES
    images = report.images
    formats = ", ".join(f"{count:,} {name}" for name, count in images.formats.items())
    lines = [f"  … and {more:,} more classes"] if more > 0 else []
    lines.append(f"  {formats}; width {_spread(images.width)}, height {_spread(images.height)} pixels")
    if added := report.added:
        lines.append(_added(added))
    return Group(Text(printable(head)), _classes(report), *map(Text, [*lines, *warnings_of(report)]))


def told_of_upload(
    client: Noisegate, dataset: DatasetAnswer, name: str | None, sent_as: str, *, with_classes: bool = False
) -> Iterator[RenderableType]:
    """What to say of an upload that became a dataset, or another name of one that is there already.

    Args:
        name: that it was sent under, if one was given.
        sent_as: the id that it was given.
        with_classes: also its classes, which nobody has looked at before it was sent.
    """
    if name not in (None, dataset.name):
        yield printable(
            f"  {name} is another name of {dataset.name} ({dataset.id}): the same images were there already."
        )
    elif sent_as != dataset.id:
        yield printable(f"  The same images were there already, as {dataset.name} ({dataset.id}).")
    # By what it was sent under: each upload has a report of its own, and the dataset that of the first.
    yield from warnings_about(client, name or sent_as, with_classes=with_classes)


def warnings_about(client: Noisegate, dataset: str, *, with_classes: bool = False) -> Iterator[RenderableType]:
    """What its report says to look at; nothing where a dataset, or the service, is older than reports."""
    try:
        report = client.datasets.report(dataset)
    except ProblemError as problem:
        if problem.status == HTTPStatus.NOT_FOUND:
            return
        raise
    if with_classes:
        yield report_block(report)
        return
    if added := report.added:
        yield _added(added)
    yield from warnings_of(report)


def warnings_of(report: ReportAnswer) -> Iterator[str]:
    """What a person should look at: how the layout was read where that left a choice, and what was left out."""
    for note in report.notes:
        yield printable(f"  Note: {in_options(note)}.")
    for message in report.duplicates.messages if report.duplicates else []:
        yield f"  Copies: {message}"
    if report.duplicates is None and report.duplicates_search in _SEARCHES:
        yield f"  Copies: {_SEARCHES[report.duplicates_search]}."
    for group in report.left_out:
        yield printable(f"  Left out: {_group(group)}")


def _added(added: AddedAnswer) -> str:
    into = ", ".join(f"{one.train + one.test:,} {one.name}" for one in added.classes[:_SHOWN_CLASSES])
    counts = f"{added.train_count:,} images to train on, {added.test_count:,} to test"
    known = f"; {added.known_count:,} were in it already" if added.known_count else ""
    return printable(f"  Added to {added.base}: {counts}{f' ({into})' if into else ''}{known}.")


def _group(group: LeftOutAnswer) -> str:
    shown = ", ".join(group.names[:3])
    rest = group.count - min(3, len(group.names))
    return f"{shown}{f' and {rest:,} more' if rest else ''}: {group.why}"


def _classes(report: ReportAnswer) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("  class", overflow="fold")
    table.add_column("train", justify="right", no_wrap=True)
    table.add_column("test", justify="right", no_wrap=True)
    table.add_column("such as", overflow="fold")
    for one in report.classes[:_SHOWN_CLASSES]:
        samples = printable(", ".join(one.samples))
        table.add_row(f"  {printable(one.name)}", f"{one.train:,}", f"{one.test:,}", samples)
    return table


def _spread(spread: SpreadAnswer) -> str:
    if spread.least == spread.most:
        return f"{spread.least:,}"
    return f"{spread.least:,} to {spread.most:,}"
