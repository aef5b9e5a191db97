"""`noisegate workers`, `presets`, `backbones` and `delete`."""

from noisegate.client import Noisegate
from noisegate.client.flows import DEFAULT_URL
from noisegate.client.listings import backbones_table, presets_table, workers_table
from noisegate.client.options import Url
from noisegate.client.output import Json, print_json, print_object
from noisegate.client.show import console_for


def workers(*, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List the workers and what each is doing."""
    with Noisegate(url) as client:
        found = client.workers.list()
    print_json(found) if json else console_for().print(workers_table(found), crop=False)


def presets(*, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List the paper's tables and figures, which `run` takes by name."""
    with Noisegate(url) as client:
        found = client.presets.list()
    print_json(found) if json else console_for().print(presets_table(found), crop=False)


def backbones(*, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List the pretrained networks that a spec may name, those at hand first."""
    with Noisegate(url) as client:
        found = client.backbones.list()
        print_json(found) if json else console_for().print(backbones_table(found), crop=False)


def delete(id: str, *, dry_run: bool = False, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Delete an experiment that has ended, with its results and models; a single model; or a dataset that nothing uses.

    Args:
        id: Of an experiment (exp_…), a model (mod_…) or a dataset (ds_…).
        dry_run: Only say what would go.
    """
    verb = "would go" if dry_run else "went"
    kind = id.partition("_")[0]
    with Noisegate(url) as client:
        if kind == "ds":
            client.datasets.delete(id, dry_run=dry_run)
            gone = None
        else:
            of_kind = client.models if kind == "mod" else client.experiments
            gone = of_kind.delete(id, dry_run=dry_run)
    if json:
        print_object(gone.document() if gone else {"dataset": id})
    elif gone is None or kind == "mod":
        print(f"{id} {verb}, and nothing else.")
    else:
        print(f"{gone.cells} cells, {gone.executions} executions, {len(gone.models)} models {verb} with {id}.")
