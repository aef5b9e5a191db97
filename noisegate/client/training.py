"""`noisegate train`: from a folder of images to a model that can be asked."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from noisegate.api.answers import ExperimentAnswer
from noisegate.api.dataset_answers import DatasetAnswer
from noisegate.client import Noisegate
from noisegate.client.errors import ClientError, ProblemError
from noisegate.client.files import Uploadable
from noisegate.client.flows import DEFAULT_URL
from noisegate.client.options import READ_AS_IT_IS, ReadingOptions, Url, nested, parse_settings, url_option
from noisegate.client.output import Json, console_beside, print_json
from noisegate.client.packing import pack
from noisegate.client.progress import ProgressDisplay
from noisegate.client.reports import told_of_upload
from noisegate.client.result_tables import results_table
from noisegate.client.summary import found_block, model_lines
from noisegate.client.waiting import dataset_shown, experiment_shown
from noisegate.client.walking import FoundImages

_DEFAULT_SCALE = "quick"
# A settings check names a dataset that nobody has: what is wrong with the rest is told all the same.
_NOBODYS_DATASET = "noisegate-train-not-sent-yet"


def train(
    images: Path,
    *,
    name: str | None = None,
    preset: str = "recommended",
    scale: Literal["paper", "quick", "smoke"] | None = None,
    reading: ReadingOptions = READ_AS_IT_IS,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    json: Json = False,
    url: Url = DEFAULT_URL,
) -> int:
    """Upload a folder of images, train a classifier on it, and say how to ask it.

    Args:
        images: A folder of CLASS/IMAGE, or of train/CLASS/IMAGE and test/CLASS/IMAGE; or an archive of one, or a file that holds
            many images. docs/data.md lists what is read.
        name: Of the dataset; by default the service makes one.
        preset: What to train (see `noisegate presets`).
        scale: How long: paper, quick (the default) or smoke.
        settings: PATH=VALUE: a field of the spec in place of the preset's, such as training.epochs=20. Can be given again.
    """
    console = console_beside(json)
    chosen = parse_settings(settings or [])
    if "dataset" in chosen:
        raise ClientError("--set dataset: the dataset is the one that is sent. `noisegate run` trains on another.")
    archive, found = pack(images, reading.validation or "auto", has_base=reading.base is not None)
    console.print(found_block(images, found, archive.total), soft_wrap=True)
    with Noisegate(url) as client:
        document = _document(client, preset, scale, chosen)
        _check_settings(client, document)
        if name and found and reading.base is None:
            _check_name(client, name, found)
        dataset = _upload(client, console, archive, name, reading)
        return _train(client, console, {**document, "dataset": dataset.id}, url, json)


def _document(client: Noisegate, preset: str, scale: str | None, chosen: Mapping[str, Any]) -> dict[str, Any]:
    of_preset = client.presets.get(preset).specs[scale or _DEFAULT_SCALE]
    document = {"preset": preset, **nested(chosen, of_preset)}
    return document if scale is None else {**document, "scale": scale}


def _check_settings(client: Noisegate, document: Mapping[str, Any]) -> None:
    """Before gigabytes are sent; raises ProblemError."""
    try:
        client.experiments.plan({**document, "dataset": _NOBODYS_DATASET})
    except ProblemError as problem:
        if not problem.errors or any(error.field != "dataset" for error in problem.errors):
            raise


def _check_name(client: Noisegate, name: str, found: FoundImages) -> None:
    """Refuse a name that belongs to other images, as far as their numbers tell; the service knows for certain once it has them."""
    try:
        dataset = client.datasets.get(name)
    except ProblemError as problem:
        if problem.code == "not-found":
            return
        raise
    if dataset.counts and found.counts and _by_class(dataset.counts) != _by_class(found.counts):
        what = f"The name {name} belongs to other images already: dataset {dataset.id}"
        raise ClientError(f"{what}. Give another --name, or `noisegate delete {dataset.id}`.")


def _by_class(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for of_split in counts.values():
        for name, count in of_split.items():
            totals[name] = totals.get(name, 0) + count
    return totals


def _upload(
    client: Noisegate, console: Console, archive: Uploadable, name: str | None, reading: ReadingOptions
) -> DatasetAnswer:
    with _said("Stopped; nothing of the upload is kept."), ProgressDisplay(console, "upload") as progress:
        sent = client.datasets.upload(archive, name=name, progress=progress.show_bytes, **reading.given())
    goes_on = f"Stopped waiting; the service goes on reading dataset {sent.id}: see `noisegate datasets`."
    with _said(goes_on), ProgressDisplay(console, "reading") as progress:
        dataset = client.datasets.wait(sent.id, progress=dataset_shown(client, progress))
    if dataset.error:
        raise ProblemError.from_document(dataset.error.document())
    train, test, classes = dataset.train_count, dataset.test_count, dataset.classes or []
    console.print(
        f"Dataset {dataset.name} ({dataset.id}): {len(classes)} classes, {train:,} images to train on, {test:,} to test.",
        soft_wrap=True,
    )
    for part in told_of_upload(client, dataset, name, sent.id):
        console.print(part, soft_wrap=True)
    return dataset


def _train(client: Noisegate, console: Console, document: Mapping[str, Any], url: str, json: bool) -> int:
    experiment: ExperimentAnswer = client.experiments.create(document)
    id = experiment.id
    runs = "one execution" if experiment.executions == 1 else f"{experiment.executions} executions"
    console.print(f"Experiment {id}: {runs}.", soft_wrap=True)
    if choice := experiment.choice:
        console.print(choice.reason, soft_wrap=True)
    goes_on = f"Stopped watching; training goes on: `noisegate watch {id}{url_option(url)}`."
    with _said(goes_on), ProgressDisplay(console, "training") as progress:
        experiment = client.experiments.wait(id, progress=experiment_shown(client, progress))
    results = client.experiments.results(id)
    console.print(results_table(results, console.width))
    for line in model_lines(client, results, url_option(url)):
        console.print(line, soft_wrap=True)
    if json:
        print_json(results)
    if experiment.error:
        raise ProblemError.from_document(experiment.error.document())
    return 0 if experiment.state == "succeeded" else 1


@contextlib.contextmanager
def _said(words: str) -> Iterator[None]:
    """Ctrl-C inside ends with these words."""
    try:
        yield
    except KeyboardInterrupt:
        print(words, file=sys.stderr)
        raise
