"""The command `noisegate`."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter, validators
from rich.console import Console

from noisegate import __version__
from noisegate.api.answers import ExperimentAnswer
from noisegate.client.cards import card_block
from noisegate.client.classifying import classify
from noisegate.client.console import make_printable
from noisegate.client.errors import ClientError, Interrupted, ProblemError
from noisegate.client.http import Client
from noisegate.client.options import READ_AS_IT_IS, ReadingOptions, Url
from noisegate.client.progress import ProgressDisplay
from noisegate.client.reports import report_block, warnings_about
from noisegate.client.show import (
    console_for,
    datasets_table,
    experiments_table,
    models_table,
    plan_table,
    presets_table,
    results_table,
    workers_table,
)
from noisegate.client.specs import document_for
from noisegate.client.summary import found_block
from noisegate.client.training import pack, train
from noisegate.client.transport import DEFAULT_URL
from noisegate.client.waiting import dataset_shown, experiment_shown

_TORCHVISION_NAMES = {"alexnet": "torchvision AlexNet"}
EXIT_INTERRUPTED = 128 + signal.SIGINT

app = App(
    name="noisegate",
    version=__version__,
    help="Trains image classifiers that can answer 'none of these', and serves them.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `run` gives every exit status
)
models_app = App(name="models", help="List the models, or add one that others have trained.")
app.command(models_app)
app.command(train)
app.command(classify)
# By name, imported when called: a client of a service elsewhere has neither the database's packages nor the processes.
for target, summary in (
    ("noisegate.local.commands:up", "Run broker, service and worker on this machine until Ctrl-C."),
    ("noisegate.local.commands:demo", "Show everything once, in about a minute: train on digits, compare, classify."),
    ("noisegate.admin.keys:keys_app", "Make, list and revoke API keys, on the database itself."),
    ("noisegate.admin.maintenance:gc", "Remove files without a row, expired keys and failed datasets."),
    ("noisegate.admin.maintenance:backup", "Write the database and all files that it names to one tar. SQLite only."),
    (
        "noisegate.admin.maintenance:restore",
        "Unpack a backup into the data directory, which must be empty or not there.",
    ),
):
    app.command(target, name=target.rpartition(":")[2].removesuffix("_app"), help=summary)


def main() -> None:
    """The entry point: one message and exit status 1 for anything that goes wrong, 130 for Ctrl-C."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit status."""
    make_printable()
    try:
        status: int | None = app(arguments)
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    except Interrupted as interrupted:
        return interrupted.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status or 0


@app.command(name="run")
def run_experiment(
    spec: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    scale: Literal["paper", "quick", "smoke"] | None = None,
    dataset: str | None = None,
    executions: int | None = None,
    seed: int | None = None,
    time_limit: Annotated[float | None, Parameter(validator=validators.Number(gte=1))] = None,
    watch: bool = False,
    dry_run: bool = False,
    url: Url = DEFAULT_URL,
) -> int:
    """Post an experiment.

    Args:
        spec: A preset, such as table-3 (see `noisegate presets`), or a file with a spec as JSON or YAML; - reads JSON from
            standard input.
        scale: Of a preset: as the paper did it, 12 epochs (quick, the default), or seconds on digits.
        dataset: Its id or name, in place of the spec's.
        executions: Of each cell, in place of the spec's.
        seed: In place of the spec's.
        time_limit: Seconds after which it is cancelled if it has not ended, counted from the start of its first execution:
            waiting in the queue does not count.
        watch: Stay until it has ended, and show its results.
        dry_run: Only say what it would come to.
    """
    console = console_for()
    fields = {"scale": scale, "dataset": dataset, "executions": executions, "seed": seed}
    with Client(url) as client:
        document = document_for(client, spec, fields)
        if dry_run:
            console.print(plan_table(client.plan_experiment(document)))
            return 0
        experiment = client.create_experiment(document, time_limit=time_limit)
        print(experiment["id"], flush=True)
        return _watch(client, console, experiment["id"]) if watch else 0


@app.command
def watch(experiment: str, *, url: Url = DEFAULT_URL) -> int:
    """Follow an experiment to its end, and show its results. Ctrl-C stops watching, not the experiment."""
    with Client(url) as client:
        return _watch(client, console_for(), experiment)


@app.command
def results(experiment: str, *, csv: bool = False, url: Url = DEFAULT_URL) -> None:
    """Show the results of an experiment, as far as there are any."""
    console = console_for()
    with Client(url) as client:
        if csv:
            print(client.results_csv(experiment), end="")
        else:
            console.print(results_table(client.results(experiment), console.width))


@app.command
def cancel(experiment: str, *, url: Url = DEFAULT_URL) -> None:
    """Ask an experiment to end; what has succeeded stays."""
    with Client(url) as client:
        print(client.cancel(experiment)["state"])


@app.command
def delete(id: str, *, dry_run: bool = False, url: Url = DEFAULT_URL) -> None:
    """Delete an experiment that has ended, with its results and models; a single model; or a dataset that nothing uses.

    Args:
        id: Of an experiment (exp_…), a model (mod_…) or a dataset (ds_…).
        dry_run: Only say what would go.
    """
    verb = "would go" if dry_run else "went"
    alone = {"mod_": Client.delete_model, "ds_": Client.delete_dataset}
    with Client(url) as client:
        if (delete_one := alone.get(id.partition("_")[0] + "_")) is not None:
            delete_one(client, id, dry_run=dry_run)
            print(f"{id} {verb}, and nothing else.")
            return
        gone = client.delete_experiment(id, dry_run=dry_run)
    print(f"{gone['cells']} cells, {gone['executions']} executions, {len(gone['models'])} models {verb} with {id}.")


@app.command
def workers(*, url: Url = DEFAULT_URL) -> None:
    """List the workers and what each is doing."""
    with Client(url) as client:
        console_for().print(workers_table(client.workers()))


@app.command
def experiments(*, url: Url = DEFAULT_URL) -> None:
    """List the experiments."""
    with Client(url) as client:
        console_for().print(experiments_table(client.experiments()))


@app.command
def presets(*, url: Url = DEFAULT_URL) -> None:
    """List the paper's tables and figures, which `run` takes by name."""
    with Client(url) as client:
        console_for().print(presets_table(client.presets()))


@app.command
def datasets(*, url: Url = DEFAULT_URL) -> None:
    """List the datasets."""
    with Client(url) as client:
        console_for().print(datasets_table(client.datasets()))


@app.command
def upload(
    archive: Path,
    *,
    name: str | None = None,
    image_size: int | None = None,
    reading: ReadingOptions = READ_AS_IT_IS,
    dry_run: bool = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Upload images, and wait until they are a dataset.

    Args:
        archive: A folder of train/CLASS/…, test/CLASS/…, or CLASS/…; or an archive of one, or a file that holds many images.
        image_size: Pixels a side that every image is scaled to. Without it 32, or the base's.
        dry_run: Only say what would be read.
    """
    console = console_for()
    packed, found = pack(archive, reading.validation or "auto")
    if found:
        console.print(found_block(archive, found, packed.total))
    with Client(url) as client:
        if dry_run:
            with ProgressDisplay(console, "upload") as progress:
                report = client.inspect_upload(packed, image_size, progress.show_bytes, **reading.given())
            console.print(report_block(report))
            return
        with ProgressDisplay(console, "upload") as progress:
            dataset = client.upload(packed, name, image_size, progress.show_bytes, **reading.given())
        with ProgressDisplay(console, "reading") as progress:
            dataset = client.wait_for_dataset(dataset["id"], dataset_shown(client, progress))
        if dataset["error"]:
            raise ProblemError.from_document(dataset["error"])
        console.print(datasets_table([dataset]))
        for line in warnings_about(client, dataset["id"]):
            console.print(line, soft_wrap=True)


@app.command
def report(dataset: str, *, url: Url = DEFAULT_URL) -> None:
    """Show how a dataset's upload was read: layout, classes with samples, what was left out and why.

    Args:
        dataset: Id or name.
    """
    with Client(url) as client:
        console_for().print(report_block(client.dataset_report(dataset)))


@app.command
def card(model: str = "default", *, url: Url = DEFAULT_URL) -> None:
    """Show what a model can do, and what it makes of images that it should not know.

    Args:
        model: Id or alias.
    """
    with Client(url) as client:
        console_for().print(card_block(client.card(model)))


@models_app.default
def models(*, experiment: str | None = None, url: Url = DEFAULT_URL) -> None:
    """List the models.

    Args:
        experiment: Only those of this experiment.
    """
    with Client(url) as client:
        console_for().print(models_table(client.models(experiment)))


@models_app.command
def add_torchvision(network: Literal["alexnet"], *, url: Url = DEFAULT_URL) -> None:
    """Have a worker fetch one of torchvision's networks with its ImageNet weights, and wait until it is a model.

    Args:
        network: Which one.
    """
    spec = {"kind": "pretrained", "network": network, "name": _TORCHVISION_NAMES[network]}
    with Client(url) as client:
        id = client.create_experiment(spec)["id"]
        with ProgressDisplay(console_for(), id) as progress:
            experiment: ExperimentAnswer = client.wait(id, lambda now: progress.show(now["progress"], now["state"]))
        if experiment["error"]:
            raise ProblemError.from_document(experiment["error"])
        if experiment["state"] != "succeeded":
            raise ClientError(f"Experiment {id} was {experiment['state']}: there is no model.")
        (model,) = client.models(id)
    print(f"{model['id']}\n`noisegate alias default {model['id']}` has classify use it.")


@app.command
def alias(name: str, model: str, *, url: Url = DEFAULT_URL) -> None:
    """Have a name stand for a model; `default` is the one that `classify` uses.

    Args:
        model: Id or another alias.
    """
    with Client(url) as client:
        answer = client.set_alias(name, model)
    print(f"{answer['name']} → {answer['model']}")


def _watch(client: Client, console: Console, id: str) -> int:
    with ProgressDisplay(console, "training") as progress:
        experiment: ExperimentAnswer = client.wait(id, experiment_shown(client, progress))
    console.print(results_table(client.results(id), console.width))
    if experiment["error"]:
        raise ProblemError.from_document(experiment["error"])
    return 0 if experiment["state"] == "succeeded" else 1


if __name__ == "__main__":
    main()
