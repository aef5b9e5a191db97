"""`noisegate run`, `watch`, `results`, `samples`, `cancel` and `experiments`."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from noisegate.client import Noisegate
from noisegate.client.errors import ClientError, ProblemError
from noisegate.client.flows import DEFAULT_URL
from noisegate.client.listings import experiments_table, plan_table, samples_table
from noisegate.client.options import Url
from noisegate.client.output import Json, console_beside, print_json
from noisegate.client.progress import ProgressDisplay
from noisegate.client.result_tables import results_table
from noisegate.client.show import console_for
from noisegate.client.specs import document_for
from noisegate.client.waiting import experiment_shown


def run(
    spec: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    scale: Literal["paper", "quick", "smoke"] | None = None,
    dataset: str | None = None,
    executions: int | None = None,
    seed: int | None = None,
    time_limit: Annotated[float | None, Parameter(validator=validators.Number(gte=1))] = None,
    watch: bool = False,
    dry_run: bool = False,
    json: Json = False,
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
    fields = {"scale": scale, "dataset": dataset, "executions": executions, "seed": seed}
    with Noisegate(url) as client:
        document = document_for(client, spec, fields)
        if dry_run:
            plan = client.experiments.plan(document)
            print_json(plan) if json else console_for().print(plan_table(plan))
            return 0
        experiment = client.experiments.create(document, time_limit=time_limit)
        if watch:
            print(experiment.id, flush=True) if not json else None
            return _watch(client, experiment.id, json)
        print_json(experiment) if json else print(experiment.id, flush=True)
        return 0


def watch(experiment: str, *, json: Json = False, url: Url = DEFAULT_URL) -> int:
    """Follow an experiment to its end, and show its results. Ctrl-C stops watching, not the experiment."""
    with Noisegate(url) as client:
        return _watch(client, experiment, json)


def results(experiment: str, *, csv: bool = False, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Show the results of an experiment, as far as there are any.

    Args:
        csv: Print a line of CSV for each cell.
    """
    if csv and json:
        raise ClientError("Either --csv or --json.")
    console = console_for()
    with Noisegate(url) as client:
        if csv:
            print(client.experiments.results_csv(experiment), end="")
            return
        found = client.experiments.results(experiment)
    print_json(found) if json else console.print(results_table(found, console.width))


def samples(
    experiment: str,
    *,
    reason: str | None = None,
    csv: Path | None = None,
    first: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 20,
    json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show the training images that the experiment's executions speak against most (record: samples).

    Args:
        reason: Those that have this reason alone, such as label_issue.
        csv: Write all of them, with every measure, to this file.
        first: How many to show.
    """
    if csv and json:
        raise ClientError("Either --csv or --json.")
    with Noisegate(url) as client:
        if csv:
            csv.write_text(client.experiments.samples_csv(experiment, reason=reason), encoding="utf-8", newline="")
            return
        found = list(islice(client.experiments.samples(experiment, reason=reason), first))
    print_json(found) if json else console_for().print(samples_table(found))


def cancel(experiment: str, *, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Ask an experiment to end; what has succeeded stays."""
    with Noisegate(url) as client:
        found = client.experiments.cancel(experiment)
    print_json(found) if json else print(found.state)


def experiments(*, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List the experiments."""
    with Noisegate(url) as client:
        found = client.experiments.list()
        print_json(found) if json else console_for().print(experiments_table(found), crop=False)


def _watch(client: Noisegate, id: str, json: bool) -> int:
    with ProgressDisplay(console_beside(json), "training") as progress:
        experiment = client.experiments.wait(id, progress=experiment_shown(client, progress))
    found, console = client.experiments.results(id), console_for()
    print_json(found) if json else console.print(results_table(found, console.width))
    if experiment.error:
        raise ProblemError.from_document(experiment.error.document())
    return 0 if experiment.state == "succeeded" else 1
